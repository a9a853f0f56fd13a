-- Prosody as it is measured: its fastest sensible settings, one process, its own files as storage.
-- {name} is filled in by the benchmark.
run_as_root = true
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
-- What 0.12 recommends on Linux, and its faster collector.
network_backend = "epoll"
gc = { mode = "generational" }
log = { { levels = { min = "error" }, to = "file", filename = "{directory}/prosody.log" } }

c2s_ports = { {port} }
c2s_interfaces = { "127.0.0.1" }
-- No other listeners: no servers, no console; HTTP only where WebSockets are measured.
s2s_ports = {}
http_ports = {}
https_ports = { {web} }
https_interfaces = { "127.0.0.1" }
https_ssl = { certificate = "{certificate}", key = "{key}", protocol = "tlsv1_3" }

c2s_require_encryption = true
ssl = { certificate = "{certificate}", key = "{key}", protocol = "tlsv1_3" }

-- Verifiers for SCRAM-SHA-1, as everywhere in this comparison.
authentication = "internal_hashed"
allow_registration = true
storage = "internal"

-- What a chat server has to do in this comparison, and nothing that could be left out.
modules_enabled = { "roster", "saslauth", "tls", "disco", "register_ibr"{modules} }
modules_disabled = { "s2s", "offline" }

-- With a history: of every message, for both sides.
default_archive_policy = true
archive_expires_after = "never"

VirtualHost "localhost"
{rooms}
