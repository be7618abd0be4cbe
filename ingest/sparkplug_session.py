"""The sessions of all edge nodes that a Sparkplug B 3.0 host application follows: a state machine without MQTT.

`take` is given a message, `turn` the passing of time; both answer with samples. `requests` says which edge nodes to ask
for a rebirth now. Nothing else is ever asked of a foreign edge node. After a restart no births are known: `remember`
tells of the tags that earlier ones gave, so that they go stale when their node does not come back.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from ingest.payloads import WireError
from ingest.sparkplug import NODE_LEVEL, Address, Decoded, Metric, bdseq, decode, parse_address, raw_name
from ingest.sparkplug_node import MAX_HELD, Held, Known, Moment, Node, Sample, Taken, count, sample, stale
from ingest.sparkplug_rebirth import Key, Pace, Rebirths


@dataclass(frozen=True)
class Limits:
    """Patience (seconds) and bounds of memory, all edge nodes together but for `devices`."""

    reorder_s: float = 2.0
    settle_s: float = 60.0
    doubt_s: float = 60.0
    jitter_s: float = 3.0
    nodes: int = 2_000
    devices: int = 1_000
    metrics: int = 500_000
    held_bytes: int = 16 << 20


@dataclass
class Sessions:
    """All edge nodes. `recv` is wall ms of arrival, `now` monotonic seconds; `counts` are of metrics and sessions."""

    limits: Limits = field(default_factory=Limits)
    rebirths: Rebirths = field(default_factory=lambda: Rebirths(Pace()))
    nodes: dict[Key, Node] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _holding: dict[Key, Node] = field(default_factory=dict)
    _unsettled: dict[Key, Node] = field(default_factory=dict)

    def take(self, topic: str, body: bytes, recv: int, now: float, *, retain: bool = False) -> list[Taken]:
        """What a message leads to. Raises WireError, and then nothing but a wish for a rebirth has changed."""
        address = parse_address(topic)
        if address.verb in ("NCMD", "DCMD"):
            return []  # what a host said, perhaps we
        if retain:
            raise WireError("retained", f"{address.verb} of {address.node} is a retained message: how old is unknown")
        decoded = decode(body)
        node = self._node(address)
        node.last_recv = recv
        if address.verb == "NBIRTH":
            return self._nbirth(node, decoded, recv, now)
        if address.verb == "NDEATH":
            return self._ndeath(node, decoded, recv)
        return self._sequenced(node, Held(address, decoded, len(body), recv), zlib.crc32(body), now)

    def turn(self, recv: int, now: float) -> list[Taken]:
        """What the passing of time leads to: messages that never came, devices that were not born again."""
        found: list[Taken] = []
        for node in list(self._holding.values()):
            if now - node.held_since >= self.limits.reorder_s:
                found += self._give_up(node, now)
        for node in list(self._unsettled.values()):
            if node.former and now >= node.settle_at:
                for device, metrics in node.former.items():
                    found.append(Taken(node.group, node.node, device, "lost", recv, stale(metrics, recv)))
                node.former = {}
            if node.doubt and not node.doubt_told and now - node.doubt_since >= self.limits.doubt_s:
                node.doubt_told = True
                by_alias = {str(alias): known for alias, known in node.aliases.items()}
                found.append(Taken(node.group, node.node, "", "lost", recv, stale(by_alias, recv)))
            if not node.former and (not node.doubt or node.doubt_told):
                del self._unsettled[node.key]
        return found

    def requests(self, now: float) -> list[Key]:
        """The edge nodes to ask for a rebirth now."""
        return [key for key, _ in self.rebirths.due(now)]

    def remember(self, key: Key, device: str, tags: dict[str, float], now: float) -> None:
        """The plant tags and last values that an earlier life of ours had from a node (or device)."""
        self._former(key, device, {tag: Known(tag, device, 0, value, mapped=True) for tag, value in tags.items()}, now)

    def expect(self, names: list[str], now: float) -> None:
        """The metrics (raw names) that an earlier life of ours had; what they said last their rules know."""
        for name in names:
            _, group, where, device, metric = name.split("/", 4)
            known = Known(name, "" if device == NODE_LEVEL else device, 0, 0.0)
            former = self.nodes[group, where].former if (group, where) in self.nodes else {}
            self._former((group, where), known.device, {**former.get(known.device, {}), metric: known}, now)

    def _former(self, key: Key, device: str, metrics: dict[str, Known], now: float) -> None:
        if key not in self.nodes and len(self.nodes) >= self.limits.nodes:
            return
        node = self.nodes.setdefault(key, Node(*key))
        node.former[device] = metrics
        node.settle_at = now + self.limits.settle_s
        self._unsettled[key] = node
        self.rebirths.want(key, now, "restart", within=self.limits.jitter_s)

    def online(self) -> int:
        """How many edge nodes are born."""
        return sum(node.born for node in self.nodes.values())

    # -- births and deaths ------------------------------------------------------------------------------

    def _nbirth(self, node: Node, decoded: Decoded, recv: int, now: float) -> list[Taken]:
        if why := self._no_room(node, "", decoded):
            raise WireError("overflow", why)
        if decoded.seq is None:
            count(self.counts, "birth_without_seq")
        node.bd = bdseq(decoded.metrics)
        if node.bd is None:
            count(self.counts, "birth_without_bdseq")
        node.aliases = {}
        before = node.forget_device("") or node.former.get("", {})
        node.former.pop("", None)
        for device in list(node.devices):
            node.former[device] = node.forget_device(device)
        node.expected = ((decoded.seq or 0) + 1) % 256
        node.recent.clear()
        node.born, node.doubt, node.doubt_told = True, False, False
        self.rebirths.born(node.key)
        if node.former:
            node.settle_at = now + self.limits.settle_s
            self._unsettled[node.key] = node
        made = decoded.t or recv
        node.held = {seq: held for seq, held in node.held.items() if (held.decoded.t or 0) >= made}
        address = Address(node.group, "NBIRTH", node.node, "")
        found = [self._born(node, address, decoded, before, recv)]
        return found + self._drain(node, now)

    def _born(self, node: Node, address: Address, decoded: Decoded, before: dict[str, Known], recv: int) -> Taken:
        """Learn the metrics of a birth; those that the one before had and this has not go stale."""
        metrics: dict[str, Known] = {}
        samples: list[Sample] = []
        when = Moment(decoded.t, recv, birth=True)
        for metric in decoded.metrics:
            if not metric.name:
                count(self.counts, "no_name")
                continue
            known = metrics.get(metric.name)
            if known is None:
                name = raw_name(node.group, node.node, address.device, metric.name)
                last = before.get(metric.name)  # what a birth with a null says is bad from now on
                value = last.value if last is not None and not last.mapped else None
                known = metrics[metric.name] = Known(name, address.device, metric.datatype, value)
                if metric.alias is not None and node.aliases.setdefault(metric.alias, known) is not known:
                    count(self.counts, "alias_twice")
            found = sample(known, metric, when, self.counts)
            if found is not None:
                samples.append(found)
        node.devices[address.device] = metrics
        gone = {name: known for name, known in before.items() if name not in metrics and not known.mapped}
        t = decoded.t or recv
        return Taken(node.group, node.node, address.device, address.verb, t, stale(gone, recv) + samples)

    def _ndeath(self, node: Node, decoded: Decoded, recv: int) -> list[Taken]:
        """The connection is gone, if it is this connection's death (a client that never counts always says 0)."""
        bd = bdseq(decoded.metrics)
        if node.born and bd is not None and node.bd is not None and bd != node.bd:
            count(self.counts, "old_death")
            return []
        node.born = node.doubt = False
        node.held = {}
        self._holding.pop(node.key, None)
        found = []
        for table in (node.devices, node.former):
            for device, metrics in table.items():
                found.append(Taken(node.group, node.node, device, "NDEATH", recv, stale(metrics, recv)))
        node.devices, node.former, node.aliases = {}, {}, {}
        return found

    # -- what has a sequence number ---------------------------------------------------------------------

    def _sequenced(self, node: Node, held: Held, check: int, now: float) -> list[Taken]:
        address, seq = held.address, held.decoded.seq
        if seq is None:
            raise WireError("sequence", f"{address.verb} of {address.node} without a sequence number")
        if not node.born:
            self.rebirths.want(node.key, now, "no_birth", within=self.limits.jitter_s)
            raise WireError("no_birth", f"{address.verb} of {address.node} before its NBIRTH; a rebirth is asked for")
        if (seq, check) in node.recent:
            count(self.counts, "duplicate")
            return []
        node.recent.append((seq, check))
        if seq == node.expected:
            found = self._apply(node, held, now)
            node.expected = (seq + 1) % 256
            return found + self._drain(node, now)
        if not node.held:
            node.held_since = now
        full = len(node.held) >= MAX_HELD or seq in node.held
        node.held[seq] = held
        self._holding[node.key] = node
        if full or sum(other.held_bytes() for other in self._holding.values()) > self.limits.held_bytes:
            return self._give_up(node, now)
        return []

    def _drain(self, node: Node, now: float) -> list[Taken]:
        """Held messages whose turn has come."""
        found: list[Taken] = []
        while node.expected in node.held:
            found += self._apply(node, node.held.pop(node.expected), now)
            node.expected = (node.expected + 1) % 256
            node.held_since = now
        if not node.held:
            self._holding.pop(node.key, None)
        return found

    def _give_up(self, node: Node, now: float) -> list[Taken]:
        """What is missing will not come: ask for one rebirth. Until it comes an alias may mean something else."""
        held = sorted(node.held.values(), key=lambda h: ((h.decoded.seq or 0) - node.expected) % 256)
        node.held = {}
        self._holding.pop(node.key, None)
        count(self.counts, "gap")
        if not node.doubt:
            node.doubt, node.doubt_since, node.doubt_told = True, now, False
            self._unsettled[node.key] = node
        self.rebirths.want(node.key, now, "gap", within=min(0.5, self.limits.jitter_s))
        found: list[Taken] = []
        for one in held:
            found += self._apply(node, one, now)
            node.expected = ((one.decoded.seq or 0) + 1) % 256
        return found

    def _apply(self, node: Node, held: Held, now: float) -> list[Taken]:
        address, decoded = held.address, held.decoded
        device = address.device
        if address.verb == "DBIRTH":
            if self._no_room(node, device, decoded):
                count(self.counts, "overflow")
                return []
            before = node.forget_device(device) or node.former.get(device, {})
            node.former.pop(device, None)
            return [self._born(node, address, decoded, before, held.recv)]
        if address.verb == "DDEATH":
            t = decoded.t or held.recv
            gone = node.forget_device(device) or node.former.get(device, {})
            node.former.pop(device, None)
            return [Taken(node.group, node.node, device, "DDEATH", t, stale(gone, t))]
        if device not in node.devices:
            self.rebirths.want(node.key, now, "no_dbirth", within=self.limits.jitter_s)
            count(self.counts, "no_dbirth")
            return []
        return [self._data(node, held, now)]

    def _data(self, node: Node, held: Held, now: float) -> Taken:
        address, decoded, recv = held.address, held.decoded, held.recv
        when = Moment(decoded.t, recv, birth=False)
        samples: list[Sample] = []
        for metric in decoded.metrics:
            known = self._known(node, address.device, metric, now)
            if known is not None:
                found = sample(known, metric, when, self.counts)
                if found is not None:
                    samples.append(found)
        return Taken(node.group, node.node, address.device, address.verb, decoded.t or recv, samples)

    def _known(self, node: Node, device: str, metric: Metric, now: float) -> Known | None:
        """The metric a birth declared under this name or alias; None where none did, or where it is in doubt."""
        if metric.name:
            known = node.devices[device].get(metric.name)
            if known is None:
                count(self.counts, "not_in_birth")
            return known
        if metric.alias is None:
            count(self.counts, "no_name")
            return None
        if node.doubt:
            count(self.counts, "alias_in_doubt")
            return None
        known = node.aliases.get(metric.alias)
        if known is None or known.device != device:
            count(self.counts, "unknown_alias")
            self.rebirths.want(node.key, now, "unknown_alias", within=self.limits.jitter_s)
            return None
        return known

    # -- bounds -----------------------------------------------------------------------------------------

    def _node(self, address: Address) -> Node:
        key = (address.group, address.node)
        node = self.nodes.get(key)
        if node is None:
            if len(self.nodes) >= self.limits.nodes:
                self._evict(address)
            node = self.nodes[key] = Node(*key)
        return node

    def _evict(self, address: Address) -> None:
        """Make room by forgetting a node of which nothing is known but its name; raises WireError overflow."""
        for key, node in self.nodes.items():
            if not node.born and not node.former:
                del self.nodes[key]
                self.rebirths.born(key)
                return
        raise WireError("overflow", f"more than {self.limits.nodes} edge nodes; {address.node} is not taken")

    def _no_room(self, node: Node, device: str, decoded: Decoded) -> str:
        """Why a birth cannot be remembered, "" where it can."""
        if device not in node.devices and len(node.devices) > self.limits.devices:  # one entry is the node's own
            return f"more than {self.limits.devices} devices of {node.node}"
        others = sum(other.size() for other in self.nodes.values()) - len(node.devices.get(device, ()))
        if others + len(decoded.metrics) > self.limits.metrics:
            return f"more than {self.limits.metrics} metrics with those of {node.node}"
        return ""
