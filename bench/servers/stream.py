"""The servers as relays of TCP: no HTTP is looked at. With `tls` it ends here, and devices show certificates."""
import json

from .haproxy import Haproxy
from .nginx import Nginx
from .ringfence import BASE_RULES, BOOT, Ringfence


class NginxStream(Nginx):
    kind = "nginx-stream"

    def __init__(self, tuned, tls):
        super().__init__(tuned)
        self.tls = tls

    def rules(self):
        if not self.tls:
            return {"ssl": "", "tls": ""}
        pki = self.lab.pki
        chain = "server-chain.pem" if self.tuned else "server-leaf.pem"
        cache = "ssl_session_tickets off; ssl_session_cache shared:bench:64m; ssl_session_timeout 1h;" if self.tuned else ""
        return {"ssl": "ssl", "tls": f"ssl_certificate {pki}/{chain}; ssl_certificate_key {pki}/server.key; "
                "ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519; "
                f"ssl_client_certificate {pki}/device-root.pem; ssl_verify_client on; ssl_verify_depth 3; "
                f"ssl_crl {pki}/crl.pem; {cache}"}


class HaproxyTcp(Haproxy):
    kind = "haproxy-tcp"

    def __init__(self, tuned, tls):
        super().__init__(tuned)
        self.tls = tls

    def rules(self):
        pki = self.lab.pki
        pair = "server-both.pem" if self.tuned else "server-leaf-both.pem"
        tickets = " no-tls-tickets" if self.tuned else ""
        return {"ssl": f"ssl crt {pki}/{pair} ca-file {pki}/device-root.pem crl-file {pki}/crl.pem verify required "
                f"ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519{tickets}" if self.tls else ""}


class RingfencePort(Ringfence):
    """An app of a port. Rules of the phase `connection` are on, and match nothing here."""
    boot = BOOT + """  - name: ports
    address: 127.0.0.1:0
    protocol: ports
ports:
  steer: false
"""

    def __init__(self, tls):
        super().__init__()
        self.tls = tls

    def configure(self):
        super().configure()
        rules = [{"expression": f"ip.src in {{192.0.2.{i}}}", "action": "block"} for i in range(BASE_RULES)]
        self.api.send_text("PUT", f"/zones/{self.zone}/rulesets/phases/connection/entrypoint", json.dumps({"rules": rules}))
        root = self.api.call("GET", f"/accounts/{self.account}/mtls_certificates")[0]["id"]
        self.port = self.lab.port()
        tls = {"tls": "flexible", "client_auth": "enforce", "roots": [root]} if self.tls else {"tls": "off"}
        self.api.call("POST", f"/zones/{self.zone}/spectrum/apps", protocol=f"tcp/{self.port}",
                      dns={"type": "ADDRESS", "name": "port.bench.test"},
                      origin_direct=[f"tcp://127.0.0.1:{self.lab.origin_port}"], **tls)
