// The official client of the hosted service, unmodified, does its documented calls against our API.
//
//   node --test                     starts the API alone (build/asan/tests/api-test-server)
//   BASE_URL=... TOKEN=... node --test   against a running edge
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Cloudflare from 'cloudflare';
import { all, client, refused, start } from './server.js';

let api;
let cf;
let account_id;
let zone_id;
let zone;
const dir = mkdtempSync(join(tmpdir(), 'rf-client-'));
const id32 = /^[0-9a-f]{32}$/;
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

function openssl(...args) {
  return execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] }).toString();
}

function file(name) {
  return readFileSync(join(dir, name)).toString();
}

function makeRoot(name) {
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`,
    '-out', `${name}.pem`, '-subj', `/O=Acme/CN=${name} ${Date.now()}`, '-days', '3650', '-addext',
    'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  return file(`${name}.pem`);
}

before(async () => {
  api = await start();
  cf = client(api);
  [{ id: account_id }] = await all(cf.accounts.list());
  zone = `client-${Date.now()}.example`;
  ({ id: zone_id } = await cf.zones.create({ account: { id: account_id }, name: zone, type: 'full' }));
});

after(async () => {
  await cf.zones.delete({ zone_id });
  rmSync(dir, { recursive: true });
  await api.stop();
});

describe('accounts and user', () => {
  it('lists, shows and changes the account', async () => {
    const account = await cf.accounts.get({ account_id });
    assert.match(account.id, id32);
    assert.match(account.created_on, time);
    const changed = await cf.accounts.update({ account_id, id: account_id, name: 'Acme of the test', type: 'standard' });
    assert.equal(changed.name, 'Acme of the test');
    await cf.accounts.update({ account_id, id: account_id, name: account.name, type: 'standard' });
  });

  it('shows whose token is used', async () => {
    const user = await cf.user.get();
    assert.match(user.id, id32);
  });
});

describe('zones', () => {
  it('are made, found, edited and deleted', async () => {
    const name = `more-${Date.now()}.example`;
    const made = await cf.zones.create({ account: { id: account_id }, name });
    assert.equal(made.name, name);
    assert.equal(made.status, 'active');
    assert.equal(made.account.id, account_id);
    assert.deepEqual((await all(cf.zones.list({ name }))).map((z) => z.id), [made.id]);
    assert.equal((await cf.zones.edit({ zone_id: made.id, paused: true })).paused, true);
    assert.equal((await cf.zones.get({ zone_id: made.id })).paused, true);
    assert.equal((await cf.zones.delete({ zone_id: made.id })).id, made.id);
    assert.ok((await refused(cf.zones.get({ zone_id: made.id }))) instanceof Cloudflare.NotFoundError);
  });

  it('are listed over several pages', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) {
      made.push((await cf.zones.create({ account: { id: account_id }, name: `page${i}-${Date.now()}.example` })).id);
    }
    const seen = (await all(cf.zones.list({ per_page: 2 }))).map((z) => z.id);
    assert.equal(new Set(seen).size, seen.length);
    for (const id of made) {
      assert.ok(seen.includes(id));
      await cf.zones.delete({ zone_id: id });
    }
  });
});

describe('errors', () => {
  it('have a number, a message and a pointer', async () => {
    const error = await refused(cf.zones.create({ account: { id: account_id }, name: 42 }));
    assert.ok(error instanceof Cloudflare.BadRequestError);
    assert.equal(error.errors[0].source.pointer, '/name');
    assert.ok(error.errors[0].code > 0);
    assert.match(error.errors[0].message, /must be a string/);
  });

  it('are of the right class', async () => {
    const twice = await refused(cf.zones.create({ account: { id: account_id }, name: zone }));
    assert.ok(twice instanceof Cloudflare.ConflictError);
    const stranger = client({ ...api, apiToken: 'rft_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
    assert.ok((await refused(stranger.zones.get({ zone_id }))) instanceof Cloudflare.AuthenticationError);
  });

  it('say when a retry cannot help', async () => {
    const retrying = client(api, { maxRetries: 2 });
    const began = Date.now();
    const twice = await refused(retrying.zones.create({ account: { id: account_id }, name: zone }));
    assert.ok(twice instanceof Cloudflare.ConflictError);
    assert.ok(Date.now() - began < 400, 'the client retried');
  });
});

describe('roots and client certificates', () => {
  it('uploads a root, associates hosts, deletes it', async () => {
    const root = await cf.mtlsCertificates.create({ account_id, ca: true, certificates: makeRoot('fleet'), name: 'fleet' });
    assert.match(root.id, id32);
    assert.equal(root.ca, true);
    assert.match(root.issuer, /O=Acme/);
    assert.equal(root.signature, 'ECDSAWithSHA256');
    assert.match(root.serial_number, /^\d+$/);
    assert.match(root.expires_on, time);
    assert.match(root.uploaded_on, time);
    assert.equal((await cf.mtlsCertificates.get(root.id, { account_id })).certificates, file('fleet.pem'));
    assert.ok((await all(cf.mtlsCertificates.list({ account_id }))).some((r) => r.id === root.id));

    const hostnames = [`api.${zone}`, `b.${zone}`];
    const associations = cf.certificateAuthorities.hostnameAssociations;
    const set = await associations.update({ zone_id, hostnames, mtls_certificate_id: root.id });
    assert.deepEqual(set.hostnames, hostnames);
    assert.deepEqual((await associations.get({ zone_id, mtls_certificate_id: root.id })).hostnames, hostnames);
    assert.equal((await all(cf.mtlsCertificates.associations.get(root.id, { account_id }))).length, 2);
    assert.ok((await refused(cf.mtlsCertificates.delete(root.id, { account_id }))) instanceof Cloudflare.ConflictError);
    await associations.update({ zone_id, hostnames: [], mtls_certificate_id: root.id });
    assert.equal((await cf.mtlsCertificates.delete(root.id, { account_id })).id, root.id);
  });

  it('refuses what is not a certificate', async () => {
    const error = await refused(cf.mtlsCertificates.create({ account_id, ca: true, certificates: 'nonsense' }));
    assert.equal(error.errors[0].source.pointer, '/certificates');
  });

  it('issues, lists, revokes and reactivates', async () => {
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'dev.key', '-out',
      'dev.csr', '-subj', '/CN=dev-1/O=Acme');
    const made = [];
    for (let i = 0; i < 3; i++) {
      made.push(await cf.clientCertificates.create({ zone_id, csr: file('dev.csr'), validity_days: 30 }));
    }
    assert.equal(made[0].status, 'active');
    assert.equal(made[0].common_name, 'dev-1');
    assert.match(made[0].fingerprint_sha256, /^[0-9a-f]{64}$/);
    assert.match(made[0].certificate, /BEGIN CERTIFICATE/);
    assert.ok(made[0].certificate_authority.id);
    assert.equal((await all(cf.clientCertificates.list({ zone_id, per_page: 2 }))).length, 3);
    assert.equal((await cf.clientCertificates.delete(made[0].id, { zone_id })).status, 'revoked');
    assert.deepEqual((await all(cf.clientCertificates.list({ zone_id, status: 'revoked' }))).map((c) => c.id), [made[0].id]);
    assert.equal((await cf.clientCertificates.edit(made[0].id, { zone_id, reactivate: true })).status, 'active');
    assert.equal((await cf.clientCertificates.get(made[0].id, { zone_id })).serial_number, made[0].serial_number);
    const error = await refused(cf.clientCertificates.create({ zone_id, csr: 'nonsense', validity_days: 30 }));
    assert.equal(error.errors[0].source.pointer, '/csr');
  });

  it('forwards certificates by host', async () => {
    const settings = [{ hostname: `api.${zone}`, china_network: false, client_certificate_forwarding: true }];
    const certificates = cf.zeroTrust.access.certificates;
    assert.deepEqual(await all(certificates.settings.update({ zone_id, settings })), settings);
    assert.deepEqual(await all(certificates.settings.get({ zone_id })), settings);
  });

  it('keeps roots with their hosts', async () => {
    const certificates = cf.zeroTrust.access.certificates;
    const made = await certificates.create({ zone_id, name: 'access', certificate: makeRoot('access'),
      associated_hostnames: [`a.${zone}`] });
    assert.deepEqual(made.associated_hostnames, [`a.${zone}`]);
    const changed = await certificates.update(made.id, { zone_id, associated_hostnames: [`b.${zone}`] });
    assert.deepEqual(changed.associated_hostnames, [`b.${zone}`]);
    assert.equal((await certificates.get(made.id, { zone_id })).fingerprint, made.fingerprint);
    assert.equal((await all(certificates.list({ zone_id }))).length, 1);
    assert.equal((await certificates.delete(made.id, { zone_id })).id, made.id);
  });
});

describe('server certificates', () => {
  it('are uploaded, shown without their key, edited, deleted', async () => {
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'www.key', '-out',
      'www.pem', '-subj', `/CN=www.${zone}`, '-addext', `subjectAltName=DNS:www.${zone}`, '-days', '90');
    const made = await cf.customCertificates.create({ zone_id, certificate: file('www.pem'), private_key: file('www.key') });
    assert.deepEqual(made.hosts, [`www.${zone}`]);
    assert.equal(made.status, 'active');
    assert.equal(made.private_key, undefined);
    assert.equal((await all(cf.customCertificates.list({ zone_id }))).length, 1);
    assert.equal((await cf.customCertificates.edit(made.id, { zone_id, bundle_method: 'force' })).id, made.id);
    assert.equal((await cf.customCertificates.get(made.id, { zone_id })).zone_id, zone_id);
    assert.equal((await cf.customCertificates.delete(made.id, { zone_id })).id, made.id);
  });
});

const scopes = [['zone', () => ({ zone_id })], ['account', () => ({ account_id })]];
for (const [where, scope] of scopes) {
  describe(`rulesets of the ${where}`, () => {
    const phase = 'http_request_firewall_custom';
    const kind = where === 'zone' ? 'zone' : 'root';
    const block = { action: 'block', expression: 'http.request.uri.path contains "/cgi-bin/"', description: 'worm',
      action_parameters: { response: { status_code: 403, content: '{"error":"blocked"}', content_type: 'application/json' } } };

    it('sets and shows the entry point of a phase', async () => {
      const set = await cf.rulesets.phases.update(phase, { ...scope(), rules: [block] });
      assert.equal(set.kind, kind);
      assert.equal(set.phase, phase);
      assert.equal(set.rules[0].action_parameters.response.content, '{"error":"blocked"}');
      assert.match(set.last_updated, time);
      const shown = await cf.rulesets.phases.get(phase, scope());
      assert.deepEqual(shown, set);
      const versions = await all(cf.rulesets.phases.versions.list(phase, scope()));
      assert.ok(versions.some((v) => v.version === set.version));
      assert.deepEqual((await cf.rulesets.phases.versions.get(set.version, { ...scope(), ruleset_phase: phase })).rules, set.rules);
    });

    it('adds, moves, changes and deletes rules', async () => {
      const { id: ruleset } = await cf.rulesets.phases.get(phase, scope());
      const added = await cf.rulesets.rules.create(ruleset, { ...scope(), action: 'log',
        expression: 'not cf.tls_client_auth.cert_verified', position: { index: 1 } });
      assert.equal(added.rules.length, 2);
      const [first, second] = added.rules;
      assert.equal(first.action, 'log');
      const moved = await cf.rulesets.rules.edit(first.id, { ...scope(), ruleset_id: ruleset, action: 'block',
        expression: 'http.request.method eq "TRACE"', position: { after: second.id } });
      assert.deepEqual(moved.rules.map((r) => r.id), [second.id, first.id]);
      assert.equal(moved.rules[1].version, '2');
      const left = await cf.rulesets.rules.delete(first.id, { ...scope(), ruleset_id: ruleset });
      assert.deepEqual(left.rules.map((r) => r.id), [second.id]);
    });

    it('takes the documented shapes of actions', async () => {
      const all_requests = { expression: 'true', enabled: true };
      const phases = {
        http_ratelimit: { action: 'block', ratelimit: { characteristics: ['cf.colo.id', 'ip.src'], period: 60,
          requests_per_period: 100, mitigation_timeout: 600, requests_to_origin: false,
          counting_expression: 'http.response.code eq 401' } },
        http_request_dynamic_redirect: { action: 'redirect', action_parameters: { from_value: { status_code: 301,
          preserve_query_string: true, target_url: { expression: 'concat("https://", http.host, "/new")' } } } },
        http_config_settings: { action: 'set_config', action_parameters: { request_body_buffering: 'standard',
          response_body_buffering: 'none' } },
        http_response_headers_transform: { action: 'rewrite', action_parameters: { headers: {
          Server: { operation: 'remove' }, 'X-Edge': { operation: 'add', value: 'yes' } } } },
        http_response_compression: { action: 'compress_response', action_parameters: {
          algorithms: [{ name: 'brotli' }, { name: 'auto' }] } },
        http_custom_errors: { action: 'serve_error', action_parameters: { content: 'later', content_type: 'text/plain',
          status_code: 503 } },
        http_response_firewall_managed: { action: 'block' },
      };
      for (const [name, rule] of Object.entries(phases)) {
        const set = await cf.rulesets.phases.update(name, { ...scope(), rules: [{ ...all_requests, ...rule }] });
        assert.deepEqual(set.rules[0].action_parameters, rule.action_parameters, name);
        assert.deepEqual(set.rules[0].ratelimit, rule.ratelimit, name);
        assert.deepEqual((await cf.rulesets.phases.get(name, scope())).rules, set.rules);
        const cleared = await cf.rulesets.phases.update(name, { ...scope(), rules: [] });
        assert.equal(cleared.rules.length, 0);
        await cf.rulesets.delete(set.id, scope());
      }
      const wrong = await refused(cf.rulesets.phases.update('http_ratelimit', { ...scope(), rules: [{ ...all_requests,
        action: 'block', ratelimit: { characteristics: ['ip.src'], period: 5, requests_per_period: 1 } }] }));
      assert.equal(wrong.errors[0].source.pointer, '/rules/0/ratelimit/period');
    });

    it('keeps versions', async () => {
      const { id: ruleset, version } = await cf.rulesets.phases.get(phase, scope());
      const versions = await all(cf.rulesets.versions.list(ruleset, scope()));
      assert.ok(versions.length >= 4);
      const earlier = versions.find((v) => v.version !== version);
      assert.equal((await cf.rulesets.versions.get(earlier.version, { ...scope(), ruleset_id: ruleset })).version, earlier.version);
      await cf.rulesets.versions.delete(earlier.version, { ...scope(), ruleset_id: ruleset });
      const gone = await refused(cf.rulesets.versions.get(earlier.version, { ...scope(), ruleset_id: ruleset }));
      assert.ok(gone instanceof Cloudflare.NotFoundError);
    });

    it('makes, replaces, lists and deletes rulesets', async () => {
      const made = await cf.rulesets.create({ ...scope(), kind, phase: 'http_request_late_transform', name: 'headers',
        description: 'of the test', rules: [] });
      assert.match(made.id, id32);
      const tried = await cf.rulesets.update(made.id, { ...scope(), rules: [], description: 'not kept', dry_run: true });
      assert.equal(tried, null);
      const put = await cf.rulesets.update(made.id, { ...scope(), rules: [], description: 'changed' });
      assert.equal(put.description, 'changed');
      assert.equal(put.version, '2');
      assert.equal((await cf.rulesets.get(made.id, scope())).description, 'changed');
      const listed = await all(cf.rulesets.list(scope()));
      assert.ok(listed.some((r) => r.id === made.id && r.rules === undefined));
      await cf.rulesets.delete(made.id, scope());
      assert.ok((await refused(cf.rulesets.get(made.id, scope()))) instanceof Cloudflare.NotFoundError);
    });

    it('points at what is wrong', async () => {
      const error = await refused(cf.rulesets.phases.update(phase, { ...scope(), rules: [block, { action: 'block' }] }));
      assert.equal(error.errors[0].source.pointer, '/rules/1/expression');
    });

    it('cleans up', async () => {
      const { id } = await cf.rulesets.phases.get(phase, scope());
      await cf.rulesets.delete(id, scope());
    });
  });
}

describe('lists', () => {
  const lists = () => cf.rules.lists;

  it('hold items that come and go in bulk, over cursors', async () => {
    const list = await lists().create({ account_id, kind: 'ip', name: `office_${Date.now()}`, description: 'of the test' });
    assert.match(list.id, id32);
    const items = Array.from({ length: 25 }, (_, i) => ({ ip: `10.0.${i}.0/24`, comment: `net ${i}` }));
    const { operation_id } = await lists().items.create(list.id, { account_id, body: items });
    let operation;
    do {
      operation = await lists().bulkOperations.get(operation_id, { account_id });
    } while (operation.status === 'pending' || operation.status === 'running');
    assert.equal(operation.status, 'completed');
    assert.match(operation.completed, time);
    const seen = await all(lists().items.list(list.id, { account_id, per_page: 10 }));
    assert.deepEqual(seen.map((i) => i.ip).sort(), items.map((i) => i.ip).sort());
    assert.equal((await all(lists().items.list(list.id, { account_id, search: '10.0.7.' }))).length, 1);
    assert.equal((await lists().items.get(seen[3].id, { account_id, list_id: list.id })).comment, seen[3].comment);
    await lists().items.delete(list.id, { account_id, items: [{ id: seen[3].id }] });
    assert.equal((await lists().get(list.id, { account_id })).num_items, 24);
    await lists().items.update(list.id, { account_id, body: [{ ip: '192.0.2.1' }] });
    assert.equal((await lists().get(list.id, { account_id })).num_items, 1);
    assert.equal((await lists().update(list.id, { account_id, description: 'changed' })).description, 'changed');
    assert.ok((await all(lists().list({ account_id }))).some((l) => l.id === list.id));
    const error = await refused(lists().items.create(list.id, { account_id, body: [{ ip: '10.0.0.1' }, { ip: 'x' }] }));
    assert.equal(error.errors[0].source.pointer, '/1/ip');
    assert.equal((await lists().delete(list.id, { account_id })).id, list.id);
  });

  it('are of other kinds too', async () => {
    const list = await lists().create({ account_id, kind: 'hostname', name: `hosts_${Date.now()}` });
    await lists().items.create(list.id, { account_id, body: [{ hostname: { url_hostname: 'Example.COM' } }] });
    const [item] = await all(lists().items.list(list.id, { account_id }));
    assert.equal(item.hostname.url_hostname, 'example.com');
    await lists().delete(list.id, { account_id });
  });
});

describe('ports', () => {
  const apps = () => cf.spectrum.apps;

  it('are made, listed, shown, replaced, deleted', async () => {
    const body = { protocol: 'tcp/22', dns: { type: 'CNAME', name: `ssh.${zone}` }, origin_direct: ['tcp://192.0.2.1:22'], tls: 'off',
      ip_firewall: true, proxy_protocol: 'v1', traffic_type: 'direct', argo_smart_routing: false,
      edge_ips: { type: 'dynamic', connectivity: 'all' } };
    const made = await apps().create({ zone_id, ...body });
    assert.match(made.id, id32);
    assert.match(made.created_on, time);
    for (const [name, value] of Object.entries(body)) assert.deepEqual(made[name], value, name);
    const range = await apps().create({ zone_id, protocol: 'tcp/1000-2000', dns: { type: 'ADDRESS', name: `many.${zone}` },
      origin_dns: { name: `origin.${zone}`, ttl: 600, type: '' }, origin_port: '3000-4000', traffic_type: 'direct', tls: 'strict',
      proxy_protocol: 'v2', edge_ips: { type: 'static', ips: ['192.0.2.7', '2001:db8::7'] } });
    assert.equal(range.origin_port, '3000-4000');
    assert.deepEqual(range.edge_ips.ips, ['192.0.2.7', '2001:db8::7']);
    await apps().create({ zone_id, protocol: 'udp/5683', dns: { type: 'ADDRESS', name: `coap.${zone}` },
      origin_direct: ['udp://192.0.2.1:5683'], traffic_type: 'direct', proxy_protocol: 'simple' });
    assert.equal((await all(apps().list({ zone_id, per_page: 2 }))).length, 3);
    const sorted = await all(apps().list({ zone_id, order: 'protocol', direction: 'desc', per_page: 2 }));
    assert.deepEqual(sorted.map((a) => a.protocol), ['udp/5683', 'tcp/1000-2000', 'tcp/22']);
    assert.equal((await apps().get(range.id, { zone_id })).protocol, 'tcp/1000-2000');
    const put = await apps().update(made.id, { zone_id, ...body, protocol: 'tcp/23', origin_direct: ['tcp://192.0.2.2:23'] });
    assert.equal(put.protocol, 'tcp/23');
    assert.deepEqual((await apps().get(made.id, { zone_id })).origin_direct, ['tcp://192.0.2.2:23']);
    for (const one of await all(apps().list({ zone_id }))) assert.equal((await apps().delete(one.id, { zone_id })).id, one.id);
    assert.ok((await refused(apps().get(made.id, { zone_id }))) instanceof Cloudflare.NotFoundError);
  });

  it('must have ranges of equal length', async () => {
    const error = await refused(apps().create({ zone_id, protocol: 'tcp/1000-2000', dns: { name: `many.${zone}` }, traffic_type: 'direct',
      origin_dns: { name: `origin.${zone}` }, origin_port: '3000-3999' }));
    assert.equal(error.errors[0].source.pointer, '/origin_port');
  });
});

describe('tokens', () => {
  const kinds = [['of the user', () => cf.user.tokens, () => []], ['of the account', () => cf.accounts.tokens, () => [{ account_id }]]];
  for (const [name, tokens, place] of kinds) {
    it(`${name} are made, verified, rolled, deleted`, async () => {
      const groups = await all(tokens().permissionGroups.list(...place()));
      const readers = groups.filter((g) => g.name === 'zones:read');
      const [where = {}] = place();
      const policies = [{ effect: 'allow', permission_groups: readers.map(({ id }) => ({ id })),
        resources: { [`com.cloudflare.api.account.${account_id}`]: '*' } }];
      const made = await tokens().create({ ...where, name: 'reader', policies });
      assert.equal(made.status, 'active');
      const reader = client({ ...api, apiToken: made.value });
      const verified = name === 'of the user' ? await reader.user.tokens.verify() : await reader.accounts.tokens.verify({ account_id });
      assert.equal(verified.id, made.id);
      assert.ok((await reader.zones.get({ zone_id })).id);
      const denied = await refused(reader.zones.edit({ zone_id, paused: true }));
      assert.ok(denied instanceof Cloudflare.PermissionDeniedError);
      assert.equal((await tokens().get(made.id, ...place())).value, undefined);
      const put = await tokens().update(made.id, { ...where, name: 'renamed', policies, status: 'active' });
      assert.equal(put.name, 'renamed');
      assert.ok((await all(tokens().list(...place()))).some((t) => t.id === made.id));
      const value = await tokens().value.update(made.id, { ...where, body: {} });
      assert.ok((await refused(reader.zones.get({ zone_id }))) instanceof Cloudflare.AuthenticationError);
      assert.ok((await client({ ...api, apiToken: value }).zones.get({ zone_id })).id);
      assert.equal((await tokens().delete(made.id, ...place())).id, made.id);
    });
  }

  it('are taken as a legacy key too', async () => {
    const legacy = new Cloudflare({ baseURL: api.baseURL, apiToken: null, apiEmail: 'a@example.com', apiKey: api.apiToken, maxRetries: 0 });
    const user = await legacy.user.get();
    assert.equal(user.email, 'a@example.com');
  });
});
