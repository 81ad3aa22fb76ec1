"""What python-tuf's own client says of a repository.

client.py ROOT REPOSITORY PROFILE PLACE: prints the manifest's SHA-256, or fails with python-tuf's words.
"""

import hashlib
import pathlib
import sys

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class Folder(FetcherInterface):
    """Files of a folder as a web server would give them."""

    def _fetch(self, url):
        path = pathlib.Path(url.removeprefix("folder://"))
        if not path.is_file():
            raise DownloadHTTPError(f"{path} is not there", 404)
        yield path.read_bytes()


root, repository, profile, place = sys.argv[1:]
place = pathlib.Path(place)
(place / "metadata").mkdir(parents=True, exist_ok=True)
(place / "targets").mkdir(exist_ok=True)
updater = Updater(
    metadata_dir=str(place / "metadata"),
    metadata_base_url=f"folder://{repository}/metadata/",
    target_dir=str(place / "targets"),
    target_base_url=f"folder://{repository}/targets/",
    fetcher=Folder(),
    bootstrap=pathlib.Path(root).read_bytes(),
)
updater.refresh()
info = updater.get_targetinfo(f"release-{profile}.json")
if info is None:
    sys.exit(f"no release for {profile}")
print(hashlib.sha256(pathlib.Path(updater.download_target(info)).read_bytes()).hexdigest())
