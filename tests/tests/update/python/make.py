"""Repositories for the tests, made by python-tuf, the reference implementation: right ones, and one for each attack.

make.py OUT MANIFEST1 MANIFEST2 SBOM PROFILE

OUT/NAME has the folders metadata and targets; OUT/root.json is what the box trusts. The names, and what each holds, are
those of tests/tests/update/maker.rs, which makes the same with tough.
"""

import copy
import datetime
import pathlib
import sys

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

OUT = pathlib.Path(sys.argv[1])
MANIFESTS = {1: pathlib.Path(sys.argv[2]).read_bytes(), 2: pathlib.Path(sys.argv[3]).read_bytes()}
SBOM = pathlib.Path(sys.argv[4]).read_bytes()
PROFILE = sys.argv[5]
MANIFEST_NAME, SBOM_NAME = f"release-{PROFILE}.json", f"sbom-{PROFILE}.cdx.json"

FAR = datetime.datetime(2090, 1, 1, tzinfo=datetime.timezone.utc)
PAST = datetime.datetime(2027, 1, 1, tzinfo=datetime.timezone.utc)


def ed25519():
    return CryptoSigner.generate_ed25519()


# All three kinds that a root may name.
ROOTS = [ed25519() for _ in range(3)]
TARGETS = CryptoSigner.generate_ecdsa()
SNAPSHOT = CryptoSigner.generate_rsa()
TIMESTAMP = ed25519()
EVIL = ed25519()


def make_root(version, roots, timestamp, signers, threshold=2, consistent=True):
    root = Root(version=version, expires=FAR, consistent_snapshot=consistent)
    for signer in roots:
        root.add_key(signer.public_key, "root")
    root.roles["root"].threshold = threshold
    root.add_key(TARGETS.public_key, "targets")
    root.add_key(SNAPSHOT.public_key, "snapshot")
    root.add_key(timestamp.public_key, "timestamp")
    return sign(root, signers)


def sign(signed, signers):
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def targets(version, number, expires=FAR, names=None, delegations=None, signer=None):
    contents = {MANIFEST_NAME: MANIFESTS[number], SBOM_NAME: SBOM} if names is None else names
    files = {name: TargetFile.from_data(name, content) for name, content in contents.items()}
    signed = Targets(version=version, expires=expires, targets=files, delegations=delegations)
    return sign(signed, [signer or TARGETS])


def snapshot(version, targets_version, expires=FAR, more=(), signer=None):
    meta = {"targets.json": MetaFile(version=targets_version), **{name: MetaFile(1) for name in more}}
    return sign(Snapshot(version=version, expires=expires, meta=meta), [signer or SNAPSHOT])


def timestamp(version, snapshot_version, snapshot_bytes, expires=FAR, signer=None):
    meta = MetaFile.from_data(snapshot_version, snapshot_bytes, ["sha256"])
    return sign(Timestamp(version=version, expires=expires, snapshot_meta=meta), [signer or TIMESTAMP])


ROOT1 = make_root(1, ROOTS, TIMESTAMP, ROOTS[:2])


def write(name, files, contents=None):
    """Writes a repository: metadata by file name, and the targets they may name."""
    metadata, folder = OUT / name / "metadata", OUT / name / "targets"
    metadata.mkdir(parents=True)
    folder.mkdir()
    for file, content in {"1.root.json": ROOT1, **files}.items():
        (metadata / file).write_bytes(content)
    for file, content in [(MANIFEST_NAME, MANIFESTS[1]), (MANIFEST_NAME, MANIFESTS[2]), (SBOM_NAME, SBOM)]:
        digest = TargetFile.from_data(file, content).hashes["sha256"]
        (folder / f"{digest}.{file}").write_bytes(content)


def state(version, number, roots=None, signer=None, **others):
    """A right repository of this version; others replace what is given."""
    top = others.get("targets") or targets(version, number)
    snap = others.get("snapshot") or snapshot(version, version)
    time = others.get("timestamp") or timestamp(version, version, snap, signer=signer)
    return {
        f"{version}.targets.json": top,
        f"{version}.snapshot.json": snap,
        "timestamp.json": time,
        **(roots or {}),
    }


FIRST, SECOND = state(1, 1), state(2, 2)
write("first", FIRST)
write("second", SECOND)
write("third", state(3, 2))

# Rollback: an old state of each role.
write("rollback-snapshot", {**FIRST, "timestamp.json": timestamp(3, 1, FIRST["1.snapshot.json"])})
write("rollback-targets", {**FIRST, **state(3, 1, snapshot=snapshot(3, 1))})

# Keys of somebody else.
write("wrong-timestamp", state(3, 2, signer=EVIL))
write("wrong-targets", state(3, 2, targets=targets(3, 2, signer=EVIL)))
evil_roots = [ed25519() for _ in range(3)]
write("wrong-root", {**SECOND, "2.root.json": make_root(2, evil_roots, EVIL, evil_roots)})
write("under-threshold", {**SECOND, "2.root.json": make_root(2, ROOTS, TIMESTAMP, ROOTS[:1])})

# Roots: changed twice in one step, the keys of the timestamp too; a gap; an old one in a new one's place.
new = [ed25519(), ed25519()]
second_roots, third_roots = [new[0], *ROOTS[1:]], [new[0], new[1], ROOTS[2]]
TIMESTAMP2, TIMESTAMP3 = ed25519(), ed25519()
root2 = make_root(2, second_roots, TIMESTAMP2, [*ROOTS[1:], new[0]])
root3 = make_root(3, third_roots, TIMESTAMP3, [new[0], new[1], ROOTS[2], ROOTS[1]])
write("rotated", state(1, 2, {"2.root.json": root2, "3.root.json": root3}, signer=TIMESTAMP3))
write("gap", state(3, 2, {"3.root.json": root3}, signer=TIMESTAMP3))
write("root-order", {**SECOND, "2.root.json": ROOT1})

# Freeze: everything, or only the timestamp, has expired.
right, old = snapshot(3, 3), snapshot(3, 3, expires=PAST)
write("expired", state(3, 2, snapshot=right, timestamp=timestamp(3, 3, right, expires=PAST)))
write("expired-snapshot", state(3, 2, snapshot=old))

# Mix and match: parts that are rightly signed and do not belong together.
write("mixed-snapshot", state(3, 2, snapshot=snapshot(3, 3, more=["x.json"]), timestamp=timestamp(3, 3, right)))
write("mixed-targets", state(3, 2, targets=SECOND["2.targets.json"]))

# A snapshot that is neither what was signed nor signed.
damaged = bytearray(right)
damaged[-20] ^= 1
write("damaged-snapshot", state(3, 2, snapshot=bytes(damaged), timestamp=timestamp(3, 3, right)))
write("long-snapshot", state(3, 2, snapshot=right + b"x" * 1000, timestamp=timestamp(3, 3, right)))

# Names of targets that lead elsewhere.
for number, name in enumerate(["../../etc/rap/update-root.json", "..", f"x/../{MANIFEST_NAME}", "/data/x"]):
    write(f"path-{number}", state(3, 2, targets=targets(3, 2, names={MANIFEST_NAME: MANIFESTS[2], name: b"x"})))

# What our repositories do not have.
helper = ed25519()
role = DelegatedRole("helper", [helper.public_key.keyid], 1, False, paths=["*"])
write(
    "delegated",
    {
        **state(
            3,
            2,
            targets=targets(3, 2, delegations=Delegations({helper.public_key.keyid: helper.public_key}, {"helper": role})),
            snapshot=snapshot(3, 3, more=["helper.json"]),
        ),
        "1.helper.json": targets(1, 2, signer=helper),
    },
)
write("no-release", state(3, 2, targets=targets(3, 2, names={"release-other.json": MANIFESTS[2]})))
write("other-profile", state(3, 2, targets=targets(3, 2, names={MANIFEST_NAME: MANIFESTS[2].replace(PROFILE.encode(), b"other")})))
other = MANIFESTS[2].replace(PROFILE.encode(), b"other")
digest = TargetFile.from_data(MANIFEST_NAME, other).hashes["sha256"]
(OUT / "other-profile" / "targets" / f"{digest}.{MANIFEST_NAME}").write_bytes(other)

# A key that tough cannot check.
foreign = copy.deepcopy(Metadata.from_bytes(make_root(2, ROOTS, TIMESTAMP, ROOTS)))
public = CryptoSigner.generate_ecdsa().public_key
strange = Key.from_dict(
    "ab" * 32,
    {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp384", "keyval": {"public": public.keyval["public"]}},
)
foreign.signed.add_key(strange, "targets")
foreign.signatures.clear()
for signer in ROOTS[:2]:
    foreign.sign(signer, append=True)
write("unknown-key", {**SECOND, "2.root.json": foreign.to_bytes()})

(OUT / "root.json").write_bytes(ROOT1)
