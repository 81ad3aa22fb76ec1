"""Holds a bill of materials against CycloneDX 1.6, package URLs and SPDX by their own libraries; prints what is wrong."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL

text = open(sys.argv[1], encoding="utf-8").read()
wrong = []

error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error is not None:
    wrong.append(f"schema: {error}")

bom = json.loads(text)
components = bom["components"] + [bom["metadata"]["component"]]
references = [component["bom-ref"] for component in components]
if len(references) != len(set(references)):
    wrong.append("a reference is there twice")
for dependency in bom["dependencies"]:
    for reference in [dependency["ref"], *dependency.get("dependsOn", [])]:
        if reference not in references:
            wrong.append(f"a dependency names {reference}, which is no component")

licensing = get_spdx_licensing()
for component in components:
    name = component["bom-ref"]
    if "purl" in component:
        purl = PackageURL.from_string(component["purl"]).to_string()
        if purl != component["purl"]:
            wrong.append(f"{name}: {component['purl']} should be written {purl}")
    for choice in component.get("licenses", []):
        if "expression" not in choice:
            continue
        parsed = licensing.parse(choice["expression"])
        unknown = [key for key in licensing.unknown_license_keys(parsed) if not key.startswith("LicenseRef-")]
        if unknown:
            wrong.append(f"{name}: SPDX does not know {unknown}")

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
