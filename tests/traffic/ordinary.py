"""Ordinary requests of devices, to measure what rules would stop that they should not.

    python3 tests/traffic/ordinary.py [COUNT]     an array of request objects, as `ringfence pack measure` reads it

Templates of what devices and their makers' services say, filled with values that look like attacks and are none: time zones,
names of networks, passphrases, messages of a log, base64, positions, addresses of pages within parameters. The same COUNT always
gives the same requests, all different.
"""
import base64
import json
import random
import sys
from urllib.parse import quote, quote_plus, urlencode

SEED = 20240611
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "text/xml; charset=utf-8"}
SOAP12 = {"Content-Type": "application/soap+xml; charset=utf-8"}

ZONES = ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT-8", "UTC", "<+03>-3", "CET-1CEST,M3.5.0,M10.5.0/3", "PST8PDT;M3.2.0,M11.1.0",
         "EST5EDT,M3.2.0/2,M11.1.0/2", "Asia/Ho_Chi_Minh", "GMT0BST,M3.5.0/1,M10.5.0"]
SSIDS = ["Tom & Ann", "home; sweet home", "The Promised LAN", "C:\\Users\\net", "wlan|5GHz", "$(whoami) lol", "cafe `free`", "a&&b", "DROP TABLE wifi",
         "Depot <5>", "It's mine", "\"quoted\"", "Guest #2", "FRITZ!Box 7590", "../up", "100% legal", "<3 wifi", "pretty fly; for a wifi"]
PASSES = ["a$(b)c;d", "P@ss|w0rd&1", "correct horse battery staple", "x;y;z", "`tick`tock", "$HOME/sweet", "<script-kiddie>", "..//..", "{[(<>)]}", "100%&more",
          "1' OR '1'='1", "pa$$word!", "${secret}", "#hash#", "id;id2", "&&||;;"]
NAMES = ["Gate 3", "Lager; Halle 5", "Kitchen & hall", "pump|north", "Büro 2. Stock", "caf\u00e9", "Dock (east)", "Cam #4", "<unnamed>", "O'Brien", "A/C unit", "temp > 5"]
LOGS = ["CRON[811]: (root) CMD (cd / && run-parts --report /etc/cron.hourly)", "sshd[77]: Accepted publickey for ops from 192.0.2.4 port 50022 ssh2",
        "sudo: ops : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/wget http://updates.example.com/fw.bin", "kernel: [  12.5] eth0: link up; 100Mbps | full duplex",
        "httpd: GET /cgi-bin/status.cgi?id=7 200", "upgrade: wget finished; rebooting in 5 s", "dhcpd: lease 192.168.1.7 -> a0:b1:c2:d3:e4:f5; 3600 s",
        "init: starting service 'watchdog'; pid=412", "mount: /dev/sda1 on /mnt/usb type vfat (rw,noexec)", "ntpd: time stepped by -0.3 s | stratum 2",
        "app: value of id changed; old=3 new=4", "hostapd: STA a0:b1:c2:d3:e4:f5 IEEE 802.11: authenticated", "cat feeder: portion 2/3 dispensed", "shell door open; echo cancel on"]
HOSTS = ["time.example.com", "192.168.1.1", "pool.ntp.org", "2001:db8::1", "fe80::1%eth0", "ntp-1.example.net"]
PAGES = ["/index.html", "../help/network.html", "https://app.example.com/done?id=7&next=/home", "/a/b/../c.html", "ota://fw/2.4.1", "/docs/etc/notes.txt", "file.php"]


class Values:
    """Values of one template, from one stream of random numbers."""

    def __init__(self, rng):
        self.rng = rng

    def one(self, values):
        return self.rng.choice(values)

    def number(self, low, high):
        return self.rng.randint(low, high)

    def real(self, low, high, digits=2):
        return round(self.rng.uniform(low, high), digits)

    def mac(self, sep=":"):
        return sep.join("%02x" % self.rng.randrange(256) for _ in range(6))

    def ip(self):
        return "192.168.%d.%d" % (self.rng.randrange(256), self.rng.randrange(1, 255))

    def hexa(self, n):
        return "%0*x" % (n, self.rng.getrandbits(4 * n))

    def b64(self, n):
        return base64.b64encode(self.rng.randbytes(n)).decode()

    def time(self):
        return "2024-%02d-%02dT%02d:%02d:%02dZ" % (self.number(1, 12), self.number(1, 28), self.number(0, 23), self.number(0, 59), self.number(0, 59))

    def version(self):
        return "%d.%d.%d" % (self.number(0, 9), self.number(0, 20), self.number(0, 99))

    def serial(self):
        return "SN-%08d" % self.number(0, 99999999)


def request(path, method="GET", headers=None, body=None, agent=None):
    r = {"path": path}
    if method != "GET":
        r["method"] = method
    headers = dict(headers or {})
    if agent:
        headers["User-Agent"] = agent
    if headers:
        r["headers"] = headers
    if body is not None:
        r["body"] = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return r


def query(path, **values):
    return request(path + "?" + urlencode(values))


def form(path, **values):
    return request(path, "POST", FORM, urlencode(values))


def post(path, body, method="POST", **headers):
    return request(path, method, {**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}}, body)


def soap(action, inner, path, headers=XML, space="urn:schemas-upnp-org:service:WANIPConnection:1"):
    body = ('<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<u:{action} xmlns:u="{space}">{inner}</u:{action}></s:Body></s:Envelope>')
    return request(path, "POST", {**headers, "SOAPAction": f'"{space}#{action}"'}, body)


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Each takes Values and gives a request.
TEMPLATES = [
    # telemetry
    lambda v: post("/readings", {"device": v.serial(), "celsius": v.real(-20, 45), "at": v.time()}),
    lambda v: post(f"/api/v1/{v.hexa(20)}/telemetry", {"ts": v.number(10**12, 2 * 10**12), "values": {"rpm": v.number(0, 9000), "state": v.one(["on", "off", "a;b", "n/a"])}}),
    lambda v: post("/v2/events", [{"id": v.hexa(16), "type": v.one(["boot", "alarm", "door"]), "text": v.one(LOGS), "at": v.time()} for _ in range(v.number(1, 3))]),
    lambda v: request("/write?db=plant&precision=ns", "POST", {"Content-Type": "text/plain"},
                      f"pump,site={v.one(['north', 'south'])},name={quote(v.one(NAMES))} flow={v.real(0, 90)},on=true {v.number(10**18, 2 * 10**18)}"),
    lambda v: query("/update", api_key=v.hexa(16), field1=v.real(-10, 40), field2=v.number(0, 100), status=v.one(LOGS)),
    lambda v: request("/gps", "POST", {"Content-Type": "text/plain"},
                      f"$GPGGA,{v.number(0, 235959):06d}.00,{v.real(0, 8999, 4):09.4f},N,{v.real(0, 17999, 4):010.4f},E,1,08,0.9,{v.real(0, 900, 1)},M,46.9,M,,*{v.number(16, 255):02X}\r\n"),
    lambda v: query("/track", imei=v.number(10**14, 10**15), nmea=f"$GPRMC,{v.number(0, 235959):06d},A,{v.real(0, 8999, 3)},N,{v.real(0, 17999, 3)},E,{v.real(0, 90, 1)},,,A*{v.number(16, 255):02X}"),
    lambda v: request("/syslog", "POST", {"Content-Type": "text/plain"}, "\n".join(f"<{v.number(0, 191)}>1 {v.time()} {v.serial()} app - - - {v.one(LOGS)}" for _ in range(v.number(1, 4)))),
    lambda v: form("/log/put", device=v.serial(), line=v.one(LOGS), level=v.number(0, 7)),
    lambda v: query("/log/put", device=v.serial(), line=v.one(LOGS)),
    lambda v: post("/senml", [{"bn": f"urn:dev:mac:{v.mac('')}:", "n": "temp", "u": "Cel", "v": v.real(-20, 45)}, {"n": "note", "vs": v.one(NAMES)}], Content_Type="application/senml+json"),
    lambda v: request(f"/ingest/{v.serial()}", "PUT", {"Content-Type": "application/octet-stream"}, v.b64(v.number(20, 90))),
    lambda v: post("/metrics/job", {"job": v.one(NAMES), "cmd": v.one(["id", "ls", "ping", "reboot"]), "result": v.one(["ok", "failed; retry", "0 | 1"])}),
    # firmware
    lambda v: query("/firmware/check", model=v.one(["CAM-200", "NVR/8", "RT_5"]), version=v.version(), serial=v.serial(), lang=v.one(["en", "pt-BR"])),
    lambda v: request(f"/firmware/{v.one(['CAM-200', 'RT_5'])}/fw-{v.version()}.bin", headers={"Range": f"bytes={v.number(0, 9) * 65536}-"}, agent=f"updater/{v.version()} (linux; armv7l)"),
    lambda v: query("/ota", image=f"https://updates.example.com/fw-{v.version()}.bin?sig={v.hexa(8)}", sha256=v.hexa(64)),
    lambda v: request(f"/DEFAULT/controller/v1/{v.serial()}?c={v.number(-999999, 999999)}", headers={"Authorization": "TargetToken " + v.hexa(32)}),
    lambda v: post(f"/DEFAULT/controller/v1/{v.serial()}/deploymentBase/{v.number(1, 99)}/feedback", {"id": str(v.number(1, 99)), "status": {"execution": "proceeding", "result": {"finished": "none"}, "details": [v.one(LOGS)]}}),
    # ONVIF, UPnP, HNAP, CWMP
    lambda v: request("/onvif/device_service", "POST", SOAP12, f'<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header><Security><UsernameToken><Username>ops</Username>'
                      f'<Password>{v.b64(20)}</Password><Nonce>{v.b64(16)}</Nonce><Created>{v.time()}</Created></UsernameToken></Security></s:Header><s:Body><GetSystemDateAndTime/></s:Body></s:Envelope>'),
    lambda v: request("/onvif/device_service", "POST", SOAP12, f"<s:Envelope><s:Body><SetSystemDateAndTime><TimeZone><TZ>{escape(v.one(ZONES))}</TZ></TimeZone></SetSystemDateAndTime></s:Body></s:Envelope>"),
    lambda v: request("/onvif/device_service", "POST", SOAP12, f"<s:Envelope><s:Body><SetNTP><NTPManual><DNSname>{v.one(HOSTS)}</DNSname></NTPManual></SetNTP></s:Body></s:Envelope>"),
    lambda v: request("/onvif/media_service", "POST", SOAP12, f"<s:Envelope><s:Body><SetOSD><OSD token='{v.hexa(4)}'><TextString><PlainText>{escape(v.one(NAMES))} {v.time()}</PlainText></TextString></OSD></SetOSD></s:Body></s:Envelope>"),
    lambda v: request("/onvif/ptz_service", "POST", SOAP12, f"<s:Envelope><s:Body><ContinuousMove><Velocity><PanTilt x='{v.real(-1, 1)}' y='{v.real(-1, 1)}'/></Velocity></ContinuousMove></s:Body></s:Envelope>"),
    lambda v: soap("AddPortMapping", f"<NewRemoteHost></NewRemoteHost><NewExternalPort>{v.number(1024, 65535)}</NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>443</NewInternalPort>"
                   f"<NewInternalClient>{v.ip()}</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>{escape(v.one(NAMES))}</NewPortMappingDescription><NewLeaseDuration>0</NewLeaseDuration>",
                   v.one(["/wanipcn.xml", "/ctl/IPConn", "/upnp/control/WANIPConn1", "/soap.cgi?service=WANIPConn1"])),
    lambda v: soap("SetNTPServers", f"<NewNTPServer1>{v.one(HOSTS)}</NewNTPServer1><NewNTPServer2>{v.ip()}</NewNTPServer2>", "/upnp/control/timeserver", space="urn:dslforum-org:service:Time:1"),
    lambda v: request("/HNAP1/", "POST", {**XML, "SOAPAction": '"http://purenetworks.com/HNAP1/%s"' % v.one(["Login", "GetDeviceSettings", "SetWLanRadioSettings", "GetWanStatus"]), "HNAP_AUTH": f"{v.hexa(32).upper()} {v.number(10**9, 2 * 10**9)}"},
                      f"<soap:Envelope><soap:Body><SetWLanRadioSettings><SSID>{escape(v.one(SSIDS))}</SSID><Key>{escape(v.one(PASSES))}</Key></SetWLanRadioSettings></soap:Body></soap:Envelope>"),
    lambda v: request("/acs", "POST", XML, f'<soap-env:Envelope><soap-env:Body><cwmp:Inform><DeviceId><Manufacturer>Example &amp; Sons</Manufacturer><OUI>{v.hexa(6).upper()}</OUI><SerialNumber>{v.serial()}</SerialNumber></DeviceId>'
                      f'<Event><EventStruct><EventCode>2 PERIODIC</EventCode><CommandKey></CommandKey></EventStruct></Event><CurrentTime>{v.time()}</CurrentTime><ParameterList><ParameterValueStruct><Name>InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSID</Name>'
                      f'<Value>{escape(v.one(SSIDS))}</Value></ParameterValueStruct></ParameterList></cwmp:Inform></soap-env:Body></soap-env:Envelope>'),
    lambda v: request("/acs", "POST", XML, f"<soap-env:Envelope><soap-env:Body><cwmp:GetParameterValuesResponse><ParameterList><ParameterValueStruct><Name>Device.Time.LocalTimeZone</Name><Value>{escape(v.one(ZONES))}</Value></ParameterValueStruct>"
                      f"<ParameterValueStruct><Name>Device.DeviceInfo.ProvisioningCode</Name><Value>{v.hexa(6)}; {escape(v.one(NAMES))}</Value></ParameterValueStruct></ParameterList></cwmp:GetParameterValuesResponse></soap-env:Body></soap-env:Envelope>"),
    # pages of cameras, recorders, routers
    lambda v: query("/cgi-bin/snapshot.cgi", channel=v.number(1, 16), res=v.one(["1080p", "640x480"]), t=v.number(10**9, 2 * 10**9)),
    lambda v: query("/axis-cgi/param.cgi", action="update", **{"Time.POSIXTimeZone": v.one(ZONES), "Image.I0.Text.String": v.one(NAMES)}),
    lambda v: query("/cgi-bin/configManager.cgi", action="setConfig", **{"NTP.Address": v.one(HOSTS), "NTP.TimeZoneDesc": v.one(ZONES), "ChannelTitle[0].Name": v.one(NAMES)}),
    lambda v: form("/cgi-bin/wireless.cgi", ssid=v.one(SSIDS), wpa_psk=v.one(PASSES), channel=v.number(1, 13), submit="Save"),
    lambda v: query("/cgi-bin/hi3510/param.cgi", cmd="setwirelessattr", ssid=v.one(SSIDS), wktype=v.number(0, 3), key=v.one(PASSES)),
    lambda v: form("/apply.cgi", submit_button="index", change_action="", action="Apply", router_name=v.one(NAMES), time_zone=v.one(ZONES), lan_ipaddr=v.ip()),
    lambda v: form("/goform/WifiBasicSet", ssid=v.one(SSIDS), security="wpapsk", wrlPwd=v.one(PASSES), hideSsid=v.number(0, 1)),
    lambda v: form("/boaform/formWlanSetup", ssid0=v.one(SSIDS), wpaPSK0=v.one(PASSES), **{"submit-url": "/wlbasic.asp"}),
    lambda v: form("/setup.cgi", todo="save", h_ssid=v.one(SSIDS), sysDNSHost=v.one(HOSTS), next_file="WLG_wireless.htm", this_file="../WLG_wireless.htm"),
    lambda v: form("/login.cgi", username=v.one(["ops", "alice", "admin", "field-7"]), password=v.one(PASSES), submit="Login"),
    lambda v: form("/ping.cgi", dest=v.one(HOSTS), count=v.number(1, 9), size=v.number(32, 1400)),
    lambda v: query("/cgi-bin/luci/;stok=%s/admin/network" % v.hexa(32), form="status", _=v.number(10**12, 2 * 10**12)),
    lambda v: request(f"/ISAPI/System/Network/interfaces/1/wireless", "PUT", XML, f"<Wireless><ssid>{escape(v.one(SSIDS))}</ssid><sharedKey>{escape(v.one(PASSES))}</sharedKey></Wireless>"),
    lambda v: request("/ISAPI/Streaming/channels/101/picture?videoResolutionWidth=%d" % v.number(320, 1920), headers={"Authorization": f'Digest username="ops", realm="cam;1", nonce="{v.hexa(16)}", uri="/ISAPI", response="{v.hexa(32)}"'}),
    lambda v: post("/RPC2", {"method": "configManager.setConfig", "params": {"name": "ChannelTitle", "table": [{"Name": v.one(NAMES)}]}, "id": v.number(1, 999), "session": v.hexa(8)}),
    lambda v: post("/cgi-bin/api.cgi?cmd=SetWifi&token=" + v.hexa(8), [{"cmd": "SetWifi", "action": 0, "param": {"Wifi": {"ssid": v.one(SSIDS), "password": v.one(PASSES)}}}]),
    lambda v: post("/ubus", {"jsonrpc": "2.0", "id": v.number(1, 999), "method": "call", "params": [v.hexa(32), "uci", "set", {"config": "wireless", "values": {"ssid": v.one(SSIDS), "key": v.one(PASSES)}}]}),
    lambda v: post("/cgi-bin/cstecgi.cgi", {"topicurl": "setting/setWiFiBasicCfg", "ssid": v.one(SSIDS), "wpakey": v.one(PASSES), "channel": str(v.number(1, 13))}),
    # APIs of fleets
    lambda v: post(f"/api/devices/{v.serial()}", {"name": v.one(NAMES), "wifi": {"ssid": v.one(SSIDS), "psk": v.one(PASSES)}, "tz": v.one(ZONES)}, "PATCH"),
    lambda v: post("/graphql", {"query": "query($id: ID!) { device(id: $id) { name state { on } } }", "variables": {"id": v.serial(), "note": v.one(LOGS)}}),
    lambda v: post("/oauth/token", {"grant_type": "client_credentials", "client_id": v.serial(), "client_secret": v.b64(24)}),
    lambda v: form("/oauth/token", grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=v.b64(20), client_id=v.serial()),
    lambda v: query("/oauth/authorize", redirect_uri=v.one(PAGES), state=v.b64(12), scope="read;write"),
    lambda v: query("/proxy", url=f"https://maps.example.com/tile?x={v.number(0, 999)}&y={v.number(0, 999)}&style=a|b;c", next=v.one(PAGES)),
    lambda v: query("/search", q=v.one(NAMES + LOGS + SSIDS), page=v.number(1, 20), sort="name;desc"),
    lambda v: query("/help", page=v.one(PAGES), lang="en", anchor="wifi&security"),
    lambda v: request(f"/files/{quote(v.one(NAMES))}/{v.hexa(8)}..{v.number(1, 9)}.jpg"),
    lambda v: request(f"/map/;v={v.number(1, 9)}/tile/{v.number(0, 20)}/{v.number(0, 999)}/{v.number(0, 999)}.png"),
    lambda v: request(f"/report/{v.time()[:10]}?columns=id,name|site;sum(total)&filter={quote_plus('a > 1 && b < 2')}&n={v.number(1, 9999)}"),
    lambda v: post("/rules", {"name": v.one(NAMES), "when": f"temp > {v.number(1, 40)} && hum < {v.number(40, 90)} || door == 'open'", "then": f"notify(ops); set('fan', {v.number(0, 9)})"}),
    lambda v: post("/templates", {"text": "Hello ${name}, device $(serial) says `" + v.one(LOGS) + "` at {{time}}", "id": v.number(1, 99999)}),
    lambda v: post("/scripts/lua", {"code": f"local t = read('temp'); if t > {v.number(1, 40)} then log('hot; ' .. t) end", "device": v.serial()}),
    lambda v: request("/upload", "POST", {"Content-Type": "multipart/form-data; boundary=----b7"}, f'------b7\r\nContent-Disposition: form-data; name="file"; filename="{v.serial()};v1.log"\r\n\r\n{v.one(LOGS)}\r\n------b7--\r\n'),
    lambda v: request("/ws?token=" + quote(v.b64(18)), headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": v.b64(16), "Sec-WebSocket-Version": "13"}),
    lambda v: request("/dns-query?dns=" + v.b64(24).replace("+", "-").replace("/", "_").rstrip("="), headers={"Accept": "application/dns-message"}),
    lambda v: request("/status", headers={"Cookie": f"sid={v.hexa(32)}; theme=dark|wide; tz={quote(v.one(ZONES))}", "Referer": f"https://app.example.com/?q={quote(v.one(NAMES))}"},
                      agent=v.one(["Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko)", "ESP8266HTTPClient", "curl/8.5.0", "okhttp/4.12.0", "Dalvik/2.1.0 (Linux; U; Android 9)"])),
    lambda v: post("/alarm", {"event": "motion", "zone": v.one(NAMES), "url": f"rtsp://ops:{quote(v.one(PASSES), safe='')}@{v.ip()}:554/h264?ch={v.number(1, 8)}&sub=1", "at": v.time()}),
    lambda v: query("/rtsp", url=f"rtsp://{v.ip()}:554/cam/realmonitor?channel={v.number(1, 8)}&subtype=0", user="ops"),
    lambda v: query("/cgi-bin/ddns.cgi", host=f"cam-{v.number(1, 999)}.example.net", user="ops", password=v.one(PASSES), server=v.one(HOSTS)),
    lambda v: form("/cgi-bin/smtp.cgi", server="smtp.example.com", to="ops@example.com;night@example.com", subject=f"{v.one(NAMES)} | alarm", body=v.one(LOGS), password=v.one(PASSES)),
    lambda v: form("/cgi-bin/schedule.cgi", cron=f"{v.number(0, 59)} */{v.number(1, 6)} * * 1-5", job=v.one(["reboot", "snapshot", "backup; mail"]), enabled=1),
]


def requests(count=6000):
    """`count` different requests, of all templates in turn."""
    rng = random.Random(SEED)
    values, seen, made, turn = Values(rng), set(), [], 0
    while len(made) < count:
        one = TEMPLATES[turn % len(TEMPLATES)](values)
        turn += 1
        key = json.dumps(one, sort_keys=True)
        if key not in seen:
            seen.add(key)
            made.append(one)
        if turn > 100 * count:
            raise ValueError("the templates do not give so many different requests")
    return made


if __name__ == "__main__":
    json.dump(requests(int(sys.argv[1]) if len(sys.argv) > 1 else 6000), sys.stdout, indent=0, ensure_ascii=False)
