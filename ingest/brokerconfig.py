"""The production configuration of a mosquitto broker: TLS, client certificates as identities, an ACL by topic."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_CONF = """# written by `plantwin broker --write-config`; see docs/wire.md
# Certificates: ca.crt, server.crt and server.key in {folder}; one client certificate for each gateway, whose
# common name is SITE/AREA/LINE/CELL, and one with the common name `twin` for plantwin ingest.
# `plantwin keys ca`, `keys enrol server --host NAME`, `keys enrol twin` and `keys enrol CELL --plant PLANT` make them
# under these names in DATA/keys; after `keys rotate server` copy the pair here and send mosquitto a SIGHUP.
# An edge node of Sparkplug has the common name GROUP/NODE (`keys enrol NODE --sparkplug GROUP`).
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

# The twin is the host application of Sparkplug: it reads all, says STATE, and asks edge nodes for their births
# (NCMD; what a command says no broker looks at, and the twin says nothing but "Node Control/Rebirth").
topic read spBv1.0/#
topic write spBv1.0/STATE/+
topic write spBv1.0/+/NCMD/+
"""

_NODE = """
# Edge node {node} of group {group}: what it says of itself and of its devices, and the commands that are for it.
user {group}/{node}
topic write spBv1.0/{group}/NBIRTH/{node}
topic write spBv1.0/{group}/NDATA/{node}
topic write spBv1.0/{group}/NDEATH/{node}
topic write spBv1.0/{group}/DBIRTH/{node}/+
topic write spBv1.0/{group}/DDATA/{node}/+
topic write spBv1.0/{group}/DDEATH/{node}/+
topic read spBv1.0/{group}/NCMD/{node}
topic read spBv1.0/{group}/DCMD/{node}/+
topic read spBv1.0/STATE/+
"""
_ID = re.compile(r"[^+/#\s\x00-\x1f\x7f]([^+/#\x00-\x1f\x7f]*[^+/#\s\x00-\x1f\x7f])?\Z")


def edge_identity(group: str, node: str) -> str:
    """The common name of an edge node's certificate, GROUP/NODE; raises ValueError."""
    for what, one in (("group", group), ("edge node", node)):
        if not _ID.match(one):
            raise ValueError(f"{what}: expected a Sparkplug id without + / # and blanks around it, found {one!r}")
    if len(f"{group}/{node}") > 64:
        raise ValueError(f"{group}/{node}: expected at most 64 characters together, as a certificate's name may have")
    return f"{group}/{node}"


def write(folder: Path, edge_nodes: Iterable[str] = ()) -> list[Path]:
    """Write mosquitto.conf and acl into `folder`; certificates are the site's own. Returns the paths.

    `edge_nodes` are the Sparkplug edge nodes that may connect, each GROUP/NODE; ValueError where one is not.
    """
    acl_text = _ACL
    for one in dict.fromkeys(edge_nodes):
        group, _, node = one.partition("/")
        edge_identity(group, node)
        acl_text += _NODE.format(group=group, node=node)
    folder = folder.resolve()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    conf, acl = folder / "mosquitto.conf", folder / "acl"
    conf.write_text(_CONF.format(folder=folder), encoding="utf-8")
    acl.write_text(acl_text, encoding="utf-8")
    return [conf, acl]
