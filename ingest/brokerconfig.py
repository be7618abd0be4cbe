"""The production configuration of a mosquitto broker: TLS, client certificates as identities, an ACL by topic."""

from __future__ import annotations

from pathlib import Path

_CONF = """# written by `plantwin broker --write-config`; see docs/wire.md
# Certificates: ca.crt, server.crt and server.key in {folder}; one client certificate for each gateway, whose
# common name is SITE/AREA/LINE/CELL, and one with the common name `twin` for plantwin ingest.
# `plantwin keys ca`, `keys enrol server --host NAME`, `keys enrol twin` and `keys enrol CELL --plant PLANT` make them
# under these names in DATA/keys; after `keys rotate server` copy the pair here and send mosquitto a SIGHUP.
per_listener_settings false
listener 8883
cafile {folder}/ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl

# a replay after an outage needs more than the defaults (20 in flight, 1000 queued)
max_inflight_messages 500
max_queued_messages 100000
max_queued_bytes 268435456
message_size_limit 65536
max_packet_size 70000
max_keepalive 120
max_connections 1000

persistence true
persistence_location {folder}/data/
autosave_interval 60
log_type error
log_type warning
log_type notice
connection_messages true
"""

_ACL = """# %u is the common name of the client's certificate: SITE/AREA/LINE/CELL of a gateway.
# A gateway writes its own subtree, and nothing that the twin says.
pattern write ptw/v1/%u/birth
pattern write ptw/v1/%u/status
pattern write ptw/v1/%u/data
pattern write ptw/v1/%u/event
pattern write ptw/v1/%u/gap
pattern write ptw/v1/%u/hist
pattern write ptw/v1/%u/supply
pattern write ptw/v1/%u/cmdack/+
pattern read ptw/v1/%u/ack
pattern read ptw/v1/%u/req
pattern read ptw/v1/%u/cmd/+

# Everyone may know whether the twin listens, and what it recommends. (A `topic` line up here, before any `user`,
# would hold for clients without a name only, and there are none.)
pattern read ptw/v1/+/+/+/_twin/state
pattern read ptw/v1/+/+/+/_twin/rec

# The twin reads everything, and is the one principal that writes commands.
user twin
topic read ptw/v1/#
topic write ptw/v1/+/+/+/+/ack
topic write ptw/v1/+/+/+/+/req
topic write ptw/v1/+/+/+/+/cmd/+
topic write ptw/v1/+/+/+/_twin/state
topic write ptw/v1/+/+/+/_twin/rec
topic readwrite _health/+
"""


def write(folder: Path) -> list[Path]:
    """Write mosquitto.conf and acl into `folder`; certificates are the site's own. Returns the paths."""
    folder = folder.resolve()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    conf, acl = folder / "mosquitto.conf", folder / "acl"
    conf.write_text(_CONF.format(folder=folder))
    acl.write_text(_ACL)
    return [conf, acl]
