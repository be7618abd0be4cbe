"""TLS, certificates and rights: a CA of our own, and a mosquitto with the configuration that we ship."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import plantwin
from ingest import pki
from ingest.broker import mosquitto_path
from ingest.message import Message
from ingest.mqtt import Link
from ingest.service import Service, Settings
from ingest.tls import REFUSED, Tls, TlsError, Watch, explain
from ingest.wire import TYPES, Event, encode, topic
from tests.ingest.kit import CELL1, CELL2, LINE, birth, data, numbers, until
from tests.ingest.site import Site, client, expired, make_site, running

DOCS = Path(__file__).resolve().parents[2] / "docs" / "wire.md"
NEEDS_MOSQUITTO = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed here")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(make_site(tmp_path_factory.mktemp("site"))) as found:
        yield found


# -- the CA ------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    try:
        return plantwin.main(["keys", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_enrolment_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_ = ("--data", str(tmp_path))
    line = ("--site", "demo", "--area", "machining", "--line", "line3")
    assert run("enrol", "cell1", *line, *data_) == 1
    assert "plantwin keys ca" in capsys.readouterr().err
    assert run("ca", *data_) == 0
    assert run("ca", *data_) == 1
    assert run("enrol", "cell1", *line, *data_) == 0
    assert run("enrol", "cell1", *line, *data_) == 1
    assert "plantwin keys rotate cell1" in capsys.readouterr().err
    assert run("enrol", "twin", *data_) == 0
    assert run("enrol", "cell2", *data_) == 2
    assert run("enrol", "site", *line, *data_) == 1
    assert run("enrol", "../x", *line, *data_) == 2
    assert run("rotate", "cell1", "--days", "20", *data_) == 0
    assert run("rotate", "cell9", *data_) == 1
    capsys.readouterr()
    assert run("list", *data_) == 1  # the rotated one ends within 30 days
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["renew", "20"]
    assert [row.split()[4] for row in lines[:2]] == ["demo/machining/line3/cell1", "twin"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*.key*")}
    assert set(modes.values()) == {0o600}
    assert "cell1.key.old" in modes


def test_a_request_gets_the_name_that_the_site_gives_it(tmp_path: Path) -> None:
    pki.make_ca(tmp_path, "demo")
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twin")])
    request = x509.CertificateSigningRequestBuilder().subject_name(wanted).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    path = pki.sign_request(tmp_path, "cell1", pki.common_name(LINE, "cell1"), pem)
    cert = x509.load_pem_x509_certificate(path.read_bytes())
    assert cert.subject.rfc4514_string() == "CN=demo/machining/line3/cell1"
    assert cert.public_key() == key.public_key()
    with pytest.raises(TlsError, match="certificate request"):
        pki.sign_request(tmp_path, "cell1", "x", b"rubbish")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    keys = tmp_path / "keys"
    assert site.tls("cell1").context().minimum_version.name == "TLSv1_2"
    with pytest.raises(TlsError, match=r"cell1\.crt and .*cell2\.key"):
        Tls(keys / "ca.crt", keys / "cell1.crt", keys / "cell2.key").context()
    with pytest.raises(TlsError, match="no CA certificate"):
        Tls(keys / "none.crt").context()
    with pytest.raises(TlsError, match="belong together"):
        Tls.of(keys / "ca.crt", keys / "cell1.crt")
    expired(tmp_path, "cell1", "demo/machining/line3/cell1")
    with pytest.raises(TlsError, match="expired on"):
        site.tls("cell1").context()
    assert "expired on" in (site.tls("cell1").warning() or "")
    now = datetime.now(UTC)
    assert site.tls("cell2").warning(now + timedelta(days=59)) is None
    assert "expires in 29 days" in (site.tls("cell2").warning(now + timedelta(days=61)) or "")
    assert str(Tls(keys, Path("a/{cell}.crt"), Path("a/{cell}.key")).for_cell("c7").cert) == "a/c7.crt"


def test_a_pair_half_replaced_is_waited_for(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    watch = Watch(site.tls("cell1"))
    assert not watch.changed()
    whole = (tmp_path / "keys" / "cell1.crt").read_bytes()
    pki.rotate(tmp_path, "cell1")
    new = (tmp_path / "keys" / "cell1.crt").read_bytes()
    (tmp_path / "keys" / "cell1.crt").write_bytes(whole)
    assert not watch.changed()
    assert "cell1.crt" in watch.trouble
    (tmp_path / "keys" / "cell1.crt").write_bytes(new)
    assert watch.changed()
    assert not watch.changed()


# -- on a broker -------------------------------------------------------------------------------------------


def troubles(site: Site, tls: Tls | None) -> str:
    """What a connection of ours says that cannot be made."""
    said: list[str] = []
    link = Link("127.0.0.1", site.port, ["#"], lambda _: None, tls=tls)
    link.on_trouble = said.append
    link.start()
    try:
        until(lambda: said or link.connected, 8)
        assert not link.connected
        return said[0]
    finally:
        link.stop()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (("IP address mismatch, certificate is not valid for '127.0.0.2'",), "for another name"),
        (("certificate has expired",), "the broker's certificate has expired"),
        (("unable to get local issuer certificate",), "not signed by our CA"),
    ],
)
def test_what_is_wrong_with_the_broker_s_certificate(error: tuple[str], told: str) -> None:
    found = ssl.SSLCertVerificationError(*error)
    found.verify_message = error[0]
    assert told in explain(found, "broker:8883")


@NEEDS_MOSQUITTO
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves such sockets to the GC
def test_who_is_not_let_in_is_told_why(site: Site, tmp_path: Path) -> None:
    assert "ended the connection before it answered" in troubles(site, site.tls(None))  # no certificate
    strangers = make_site(tmp_path)
    ours, theirs = site.data / "keys", strangers.data / "keys"
    foreign = troubles(site, Tls(ours / "ca.crt", theirs / "cell1.crt", theirs / "cell1.key"))
    assert "refused our certificate" in foreign or "ended the connection" in foreign
    assert "is tls.ca the site's keys/ca.crt" in troubles(site, strangers.tls("cell1"))
    with client(site, "cell1") as one:  # and who is, is
        assert one.is_connected()


@NEEDS_MOSQUITTO
def test_plain_text_is_refused(site: Site) -> None:
    link = Link("127.0.0.1", site.port, ["#"], lambda _: None)
    link.start()
    time.sleep(0.7)
    assert not link.connected
    link.stop()


UP = ("birth", "status", "data", "event", "gap", "hist", "supply", "cmdack/c1")
DOWN = ("ack", "req", "cmd/c1")
TWIN = ("state", "rec")
PRINCIPALS = {"cell1": "gateway", "cell2": "another gateway", "erp": "ERP", "twin": "twin"}


def matrix(site: Site) -> dict[tuple[str, str], tuple[bool, bool]]:
    """(principal, topic) -> (may write, may read), each tried."""
    topics = [f"{CELL1}/{kind}" for kind in (*UP, *DOWN)]
    topics += [f"{CELL1.rsplit('/', 1)[0]}/_twin/{kind}" for kind in TWIN]
    found: dict[tuple[str, str], tuple[bool, bool]] = {}
    for name in PRINCIPALS:
        with client(site, name) as one, client(site, "twin") as root, client(site, "cell1") as gateway:
            codes, got = one.user_data_get()
            one.subscribe("ptw/#", 1)
            time.sleep(0.2)
            sent = {one.publish(where, b"x", 1).mid: where for where in topics}
            until(lambda: len(codes) == len(sent), what="the acknowledgements")  # noqa: B023
            may_write = {where: not codes[mid] for mid, where in sent.items()}
            time.sleep(0.2)
            got.clear()
            for where in topics:  # each said by one who may
                (gateway if where.startswith(CELL1) and where[len(CELL1) + 1 :] in UP else root).publish(where, b"y", 1)
            time.sleep(0.5)
            heard = {where for where, body in got if body == b"y"}
            found |= {(name, where): (may_write[where], where in heard) for where in topics}
    return found


def expected(name: str, where: str) -> tuple[bool, bool]:
    kind = where.split("/", 6)[6]
    if where.split("/")[5] == "_twin":
        return name == "twin", True
    if name == "twin":
        return kind in DOWN, True
    return name == "cell1" and kind in UP, name == "cell1" and kind in DOWN


@NEEDS_MOSQUITTO
def test_the_matrix_of_rights(site: Site) -> None:
    found = matrix(site)
    assert {key: right for key, right in found.items() if right != expected(*key)} == {}
    assert len(found) == 4 * (len(UP) + len(DOWN) + len(TWIN))


SAYS: tuple[str, ...] = tuple(f"spBv1.0/plant1/{verb}/edge1" for verb in ("NBIRTH", "NDATA", "NDEATH"))
SAYS += tuple(f"spBv1.0/plant1/{verb}/edge1/press" for verb in ("DBIRTH", "DDATA", "DDEATH"))
NCMD, DCMD, HOST = "spBv1.0/plant1/NCMD/edge1", "spBv1.0/plant1/DCMD/edge1/press", "spBv1.0/STATE/twin1"
ELSE = ("spBv1.0/plant2/NDATA/edge1", "spBv1.0/plant1/NDATA/edge1/press", "spBv1.0/plant1/XDATA/edge1")
NODES = ("edge1", "edge2", "cell1", "erp", "twin")


def spb_expected(name: str, where: str) -> tuple[bool, bool]:
    """(may write, may read); nobody may send DCMD, not even the twin."""
    write = {"edge1": where in SAYS, "twin": where in (NCMD, HOST)}.get(name, False)
    read = {"edge1": where in (NCMD, DCMD, HOST), "edge2": where == HOST, "twin": True}.get(name, False)
    return write, read


@NEEDS_MOSQUITTO
def test_the_matrix_of_rights_in_the_sparkplug_namespace(site: Site) -> None:
    """Who may write is tried by each; who may read what a broker without rules for it hands out, by its own words."""
    topics = (*SAYS, NCMD, DCMD, HOST, *ELSE)
    acl = site.data / "broker" / "acl"
    found: dict[tuple[str, str], tuple[bool, bool]] = {}
    for name in NODES:
        with client(site, name) as one:
            codes, _ = one.user_data_get()
            sent = {one.publish(where, b"x", 1).mid: where for where in topics}
            until(lambda: len(codes) == len(sent), what="the acknowledgements")  # noqa: B023
            found |= {(name, where): (not codes[mid], False) for mid, where in sent.items()}
    before = acl.read_text()
    acl.write_text(before + "\nuser demo/machining/line3/cell2\ntopic write spBv1.0/#\n")  # one who may say all
    site.reload()
    try:
        for name in NODES:
            with client(site, name) as one, client(site, "cell2") as loud:
                _, got = one.user_data_get()
                one.subscribe("spBv1.0/#", 1)
                time.sleep(0.2)
                codes, _ = loud.user_data_get()
                sent = {loud.publish(where, b"y", 1).mid: where for where in topics}
                until(lambda: len(codes) == len(sent), what="the acknowledgements")  # noqa: B023
                assert not any(codes.values())
                time.sleep(0.3)
                heard = {where for where, body in got if body == b"y"}
                found |= {(name, where): (found[name, where][0], where in heard) for where in topics}
    finally:
        acl.write_text(before)
        site.reload()
    assert {key: right for key, right in found.items() if right != spb_expected(*key)} == {}
    assert len(found) == len(NODES) * len(topics)


def test_the_rights_of_edge_nodes_are_written_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broker(*names: str) -> int:
        nodes = [part for name in names for part in ("--edge-node", name)]
        try:
            return plantwin.main(["broker", "--write-config", str(tmp_path / "b"), *nodes])
        except SystemExit as ended:
            return int(ended.code or 0)

    assert broker("plant1/edge 7", "plant1/edge 7", "Werk/Süd") == 0
    acl = (tmp_path / "b" / "acl").read_text(encoding="utf-8")
    assert acl.count("user plant1/edge 7\n") == 1
    assert "topic write spBv1.0/Werk/DBIRTH/Süd/+\n" in acl
    capsys.readouterr()
    for bad in ("plant1", "plant1/+", "a/b/c", "plant1/ x", "plant1/x\ntopic write #", "p/" + "x" * 70):
        assert broker(bad) == 2
        assert "--edge-node" in capsys.readouterr().err
    assert run("ca", "--data", str(tmp_path)) == 0
    assert run("enrol", "edge7", "--sparkplug", "plant1", "--data", str(tmp_path)) == 0
    assert "plant1/edge7: " in capsys.readouterr().out
    assert (tmp_path / "keys" / "plant1-edge7.crt").exists()
    assert run("enrol", "edge#", "--sparkplug", "plant1", "--data", str(tmp_path)) == 2


def test_the_page_has_the_matrix() -> None:
    page = DOCS.read_text()
    for what, right in {
        "`spBv1.0`: its own `NBIRTH NDATA NDEATH DBIRTH DDATA DDEATH`": "write | - | read",
        "its own `NCMD`": "read | - | read, write",
        "its own `DCMD`": "read | - | read",
        "`STATE`": "read | read | read, write",
    }.items():
        assert f"| {what} | {right} |" in page
    rows = {
        "its own `birth status data event gap hist supply cmdack`": ("write", "", "", "read"),
        "its own `ack req cmd`": ("read", "", "", "read, write"),
        "`_twin/state`, `_twin/rec`": ("read", "read", "read", "read, write"),
    }
    for what, rights in rows.items():
        assert f"| {what} | {' | '.join(one or '-' for one in rights)} |" in page
    assert set(TYPES) == {kind.split("/")[0] for kind in (*UP, *DOWN, *TWIN)}


@NEEDS_MOSQUITTO
def test_a_source_that_another_cell_pretends_to_be_does_not_get_through(site: Site, tmp_path: Path) -> None:
    """The broker refuses the topic; what is in the payload only (another's epoch) ingest quarantines."""
    service = Service(Settings(tmp_path, "127.0.0.1", site.port, LINE, tls=site.tls("twin")))
    service.start()
    try:
        until(lambda: service.link.granted)
        with client(site, "cell1") as one, client(site, "cell2") as other:
            one.publish(topic(CELL1, "birth"), birth("e1"), 1, retain=True)
            until(lambda: service.intake.ledger.source(CELL1).e == "e1")
            one.publish(topic(CELL1, "data"), data(1), 1)
            codes, _ = other.user_data_get()
            mid = other.publish(topic(CELL1, "data"), data(2), 1).mid
            until(lambda: mid in codes)
            assert codes[mid]
            other.publish(topic(CELL2, "data"), data(2), 1)  # epoch e1 is cell1's
            until(lambda: service.intake.ledger.rejected.get("other_source") == 1)
            assert service.intake.ledger.samples()[0].topic == topic(CELL2, "data")
            until(lambda: numbers(tmp_path / "journal.db") == [1])
    finally:
        service.stop()


@NEEDS_MOSQUITTO
def test_a_right_that_is_missing_is_told(site: Site) -> None:
    said: list[str] = []
    link = Link("127.0.0.1", site.port, [f"{CELL2}/ack"], lambda _: None, tls=site.tls("cell2"))
    link.on_trouble = said.append
    link.start()
    until(lambda: link.connected)
    link.publish(topic(CELL1, "data"), data(1))
    until(lambda: said)
    assert said == [REFUSED]
    link.stop()


@NEEDS_MOSQUITTO
def test_a_certificate_replaced_while_running_is_taken_into_use(site: Site) -> None:
    heard: list[Message] = []
    link = Link("127.0.0.1", site.port, [f"{CELL1}/#"], heard.append, tls=site.tls("twin"))
    link.start()
    try:
        until(lambda: link.connected)
        assert not link.renew()
        pki.rotate(site.data, "twin")
        assert link.renew()
        until(lambda: link.granted, what="the connection with the new certificate")
        assert link.number == 2
        body = encode(Event(e="e1", s=1, t=1, kind="work_end", thing="turn", count=1))
        with client(site, "cell1") as one:
            one.publish(topic(CELL1, "event"), body, 1)
            until(lambda: any(m.body == body for m in heard))
        assert msgspec.json.decode(heard[-1].body)["count"] == 1
    finally:
        link.stop()
