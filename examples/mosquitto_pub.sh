#!/bin/sh
# Plain numbers and plain JSON from any client, for a machine that knows nothing of the contract:
#   plantwin ingest --topics examples/topics.yaml ...
#   HOST=127.0.0.1 PORT=1883 sh examples/mosquitto_pub.sh
# Such readings are at most once: they have no number by which a lost one could be asked for again.
# MQTT 3.1.1 (as here) needs the embedded broker's other port, see run/broker.json; mosquitto takes both on one.
set -e
pub() { mosquitto_pub -h "${HOST:-127.0.0.1}" -p "${PORT:-1883}" -q 1 -t "$1" -m "$2"; }
pub shop/turn/count 41
pub shop/oven/temperature 213
pub erp/buffer '{"levels": {"b1": 3}}'
