// Where the API under test is: BASE_URL and TOKEN of a running edge, or the API alone, started here.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import Cloudflare from 'cloudflare';

const here = dirname(fileURLToPath(import.meta.url));

function program() {
  if (process.env.API_SERVER) return process.env.API_SERVER;
  const build = process.env.RINGFENCED ? dirname(process.env.RINGFENCED) : join(here, '..', '..', 'build', 'asan');
  return join(build, 'tests', 'api-test-server');
}

export async function start() {
  if (process.env.BASE_URL) {
    return { baseURL: process.env.BASE_URL, apiToken: process.env.TOKEN, stop: async () => {} };
  }
  const child = spawn(program(), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    new Promise((resolve) => createInterface(child.stdout).once('line', (text) => resolve([text]))),
    new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`the API did not start (${code})`)))),
  ]);
  const [baseURL, apiToken] = line.split(' ');
  const stop = () => new Promise((resolve, reject) => {
    child.removeAllListeners('exit');
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the API ended with ${code}`))));
    child.stdin.end();
  });
  return { baseURL, apiToken, stop };
}

export function client({ baseURL, apiToken }, more = {}) {
  return new Cloudflare({ baseURL, apiToken, maxRetries: 0, ...more });
}

// All of a list, over as many pages as it has.
export async function all(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

// The error that a call must end with.
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call was expected to be refused');
}
