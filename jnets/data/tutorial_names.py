"""The surnames of the PyTorch tutorials, 20,074 in 18 languages, for download.

S. Robertson, practical-pytorch, data/names at the commit whose files are also in the
tutorial's data.zip (MIT licence). `names.read_folder` reads what this downloads.
"""

import os

from jnets.data.fetch import Progress, RemoteFile, fetch

_SOURCE = (
    "https://raw.githubusercontent.com/spro/practical-pytorch/"
    "ff2b4c46224c8f887910da343211a2e468eef9ac/data/names/"
)

# class, bytes, sha256
_FILES = """
Arabic 13190 6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc
Chinese 1247 49263ef55a8cb1740e841d65cad8214b2f9b5b869bc534c811746422496fa91e
Czech 3919 145bbbd6d0816578f03388e92c264d39ef1c60df920b081d371fa5c5cc055a8e
Dutch 2351 924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3
English 27125 9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2
French 2178 81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95
German 5610 7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db
Greek 1981 3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6
Irish 1858 cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058
Italian 5657 f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4
Japanese 7622 e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f
Korean 423 cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136
Polish 1165 45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826
Portuguese 554 50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53
Russian 85605 43b3e64ce351f77f1ac9e0cdf7566012d127f4371875fd25208845b5c9d6f7c3
Scottish 752 78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd
Spanish 2284 1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7
Vietnamese 339 f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d
"""


def _remote(row: str) -> RemoteFile:
    name, size, sha256 = row.split()
    return RemoteFile(f"{name}.txt", (f"{_SOURCE}{name}.txt",), sha256, int(size))


FILES = tuple(map(_remote, _FILES.split("\n")[1:-1]))


def download(
    directory: str | os.PathLike[str], *, progress: Progress | None = None
) -> None:
    """Bring the files that are not in `directory` yet; see `jnets.data.fetch.fetch`."""
    for file in FILES:
        fetch(file, directory, progress=progress)
