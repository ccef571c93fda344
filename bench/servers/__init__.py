"""The servers under test. Each class has the same shape:

    kind, tuned         what it is
    start(lab, wrapper) run on the servers' CPU, in front of lab.origin_port, by the command `wrapper`; sets `port`
    pids()              all its processes
    stop()              end them
"""
from .haproxy import Haproxy
from .nginx import Nginx
from .ringfence import Ringfence
from .stream import HaproxyTcp, NginxStream, RingfencePort

__all__ = ["Haproxy", "HaproxyTcp", "Nginx", "NginxStream", "Ringfence", "RingfencePort"]
