"""LMDB databases of Caffe's Datum messages: pictures that are read, and features that are written."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import report_write_errors

if TYPE_CHECKING:
    from PIL.Image import Image

    from ...runtime.preprocess import Array

DATA = "data.mdb"  # the file of a database, which is a folder
MISSING = "LMDB databases need the package lmdb: pip install cortado-caffe[lmdb]"
DATUM_AXES = 3
SPARE_BYTES = 1 << 24  # of the map, beside twice the numbers: pages that are not full


@dataclass(frozen=True)
class StoredPicture:
    """A picture in a database."""

    database: Any
    key: bytes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        if self.datum.encoded:
            picture = self.read(3)
            return 3, picture.height, picture.width
        return self.datum.channels, self.datum.height, self.datum.width

    @property
    def datum(self) -> Any:
        """The message. CompileError if the bytes are none."""
        from google.protobuf.message import DecodeError

        from ...compat.pycaffe.proto import caffe_pb2
        from ...compiler.errors import CompileError

        with self.database.begin() as transaction:
            data = transaction.get(self.key)
        try:
            return caffe_pb2.Datum.FromString(data)
        except DecodeError:
            raise CompileError(f"{self}: this is no Datum of Caffe's") from None

    def read(self, channels: int) -> Image:
        """The picture: RGB, or grey for one channel. CompileError for numbers that are no picture."""
        from PIL.Image import fromarray

        from ...compat.pycaffe.io import datum_to_array
        from ...compiler.errors import CompileError
        from ...runtime.pictures import decode, to_upright

        datum, mode = self.datum, "L" if channels == 1 else "RGB"
        if datum.encoded:
            return decode(BytesIO(datum.data), to_upright).convert(mode)
        try:
            array = datum_to_array(datum)
        except ValueError as e:
            raise CompileError(f"{self}: {e}") from None
        if array.dtype != "u1" or len(array) not in (1, 3):
            described = f"{array.dtype} {list(array.shape)}"
            raise CompileError(f"{self}: a picture is u8 [1,H,W] or [3,H,W], and this is {described}")
        return fromarray(array[0] if len(array) == 1 else array[::-1].transpose(1, 2, 0)).convert(mode)

    def __str__(self) -> str:
        return f"{self.database.path()}, key {self.key.decode('utf-8', 'backslashreplace')}"


def is_database(path: Path) -> bool:
    """True for a folder with an LMDB database in it."""
    return (path / DATA).is_file()


def stored_pictures(path: Path) -> list[StoredPicture]:
    """The pictures of a database, in the order of their keys. CompileError if it cannot be read."""
    from ...compiler.errors import CompileError

    lmdb = import_lmdb()
    try:
        database = lmdb.open(str(path), readonly=True, lock=False)
        with database.begin() as transaction:
            return [StoredPicture(database, bytes(key)) for key in transaction.cursor().iternext(values=False)]
    except lmdb.Error as e:
        raise CompileError(f"{path}: this LMDB database cannot be read ({e})") from None


def write_features(path: str, array: Array) -> None:
    """Write rows [N,C,H,W], or of fewer axes, as a new database of Datums, which are named by their numbers."""
    from ...compat.pycaffe.io import array_to_datum
    from ...compiler.errors import CompileError
    from ...runtime.output import make_folder, open_output

    lmdb = import_lmdb()
    if array.ndim > 1 + DATUM_AXES:
        raise CompileError(f"{path}: a Datum has at most {DATUM_AXES} axes, and a row of this blob {array.ndim - 1}")
    rows = array.reshape(*array.shape, *[1] * (1 + DATUM_AXES - array.ndim)).astype("f4")
    space = 2 * rows.nbytes + (len(rows) << 13) + SPARE_BYTES
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=space) as database, database.begin(write=True) as transaction:
            for i, row in enumerate(rows):
                transaction.put(f"{i:010}".encode(), array_to_datum(row).SerializeToString())
        with report_write_errors():
            make_folder(Path(path))
            with open_output(Path(path, DATA)) as out, Path(folder, DATA).open("rb") as made:
                shutil.copyfileobj(made, out)


def import_lmdb() -> Any:
    """The package. CompileError if it is not installed."""
    from ...compiler.errors import CompileError

    try:
        import lmdb
    except ImportError:
        raise CompileError(MISSING) from None
    return lmdb
