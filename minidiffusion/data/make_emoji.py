r"""Makes the file of emoji: `python -m minidiffusion.data.make_emoji FOLDER`.

FOLDER holds three packages of the npm registry. This script opens no connection; download them with

    npm pack emoji-datasource-google@16.0.0 cldr-annotations-full@48.2.0 cldr-annotations-derived-full@48.2.0

The first has the pictures (Noto Emoji v2.048, 64 x 64 pixels), their categories and their skin tones. Its names are
those of Unicode's charts, which call the red heart HEAVY BLACK HEART, as "black" means filled there. Such captions
would be false, so names and keywords come from the other two, Unicode's CLDR.

The pictures are the same bytes on every machine, by integer arithmetic. Another version of liblzma may compress them
to another file, which the script reports.
"""

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .emoji import CATEGORIES, PACK, SHA256, SIZE, pack

PICTURES = "emoji-datasource-google-16.0.0.tgz"
NAMES = "cldr-annotations-full-48.2.0.tgz"
NAMES_OF_SEQUENCES = "cldr-annotations-derived-full-48.2.0.tgz"
SOURCES = {
    PICTURES: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    NAMES: "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    NAMES_OF_SEQUENCES: "4be946ff5815f806ec78b50363d577a769f2fbfb90c6380a44e161a92436996e",
}
TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")  # from light to dark
STYLE = "FE0F"  # "show this in colour"; 200D joins several code points into one picture
PERSON, COUPLE, FAMILY = "1F9D1", "1F9D1-200D-{}-200D-1F9D1", "1F46A"
# The replacements that give the woman's, the man's, the neutral form and the one that faces right the same code.
VARIANTS = {
    **dict.fromkeys(("-200D-2640", "-200D-2642", "-200D-27A1"), ""),  # woman, man, right
    **dict.fromkeys(("1F468", "1F469"), PERSON),
    **dict.fromkeys(("1F466", "1F467"), "1F9D2"),  # child
    **dict.fromkeys(("1F474", "1F475"), "1F9D3"),  # older person
    **dict.fromkeys(("1F478", "1F934"), "1FAC5"),  # person with crown
    **dict.fromkeys(("1F930", "1FAC3"), "1FAC4"),  # pregnant person
    **dict.fromkeys(("1F936", f"{PERSON}-200D-1F384"), "1F385"),  # Claus
    **dict.fromkeys(("1F46B", "1F46C", "1F46D"), COUPLE.format("1F91D")),  # holding hands
    "1F48F": COUPLE.format("2764-200D-1F48B"),  # kiss
    "1F491": COUPLE.format("2764"),  # couple with heart
    "1F57A": "1F483",  # dancing
}


def make(folder: Path) -> bytes:
    """The file, from the packages in `folder`."""
    names = {language: read_names(folder, language) for language in ("en", "zh")}
    table, pictures = [], []
    files = read_files(folder / PICTURES, lambda name: name == "emoji.json" or name.startswith("img/google/64/"))
    for row, image in list_emoji(json.loads(files["emoji.json"])):
        for key in ("name", "keywords"):
            row[key] = {language: names[language][row["code"]][key] for language in names}
        table.append(row)
        with Image.open(io.BytesIO(files[f"img/google/64/{image}"])) as opened:
            pictures.append(halve(np.asarray(opened.convert("RGBA"))))
    kept = without_duplicates([row["code"] for row in table], pictures)
    return pack([table[i] for i in kept], np.stack([pictures[i] for i in kept]))


def read_files(package: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """{name: content} of the wanted files, in one pass: a compressed archive cannot be read backwards."""
    with tarfile.open(package) as tar:
        named = ((member.name.removeprefix("package/"), member) for member in tar if member.isfile())
        return {name: tar.extractfile(member).read() for name, member in named if wanted(name)}


def list_emoji(entries: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """(row of the table without names, file of the picture) of each emoji that is neither a flag nor a component.

    Of the 25 pairs of tones of a couple, the five with equal tones are used.
    """
    rows = []
    for entry in sorted(entries, key=lambda entry: entry["sort_order"]):
        if entry["category"] in CATEGORIES:
            tones = {frozenset(key.split("-")): look for key, look in entry.get("skin_variations", {}).items()}
            looks = [entry, *(tones[frozenset([tone])] for tone in TONES if tones)]
            for tone, look in enumerate(looks):
                row = {"code": plain(look["unified"]).lower(), "tone": tone, "group": group_of(entry).lower()}
                row |= {key: entry[key] for key in ("category", "subcategory")}
                rows.append((row, look["image"]))
    return rows


def plain(code: str) -> str:
    return "-".join(point for point in code.split("-") if point != STYLE)


def group_of(entry: dict[str, Any]) -> str:
    """The code of an emoji without skin tone, gender and direction; one code for all families."""
    if "FAMILY" in entry["name"]:
        return FAMILY
    code = plain(entry["unified"])
    for form, common in VARIANTS.items():
        code = code.replace(form, common)
    return code


def halve(picture: np.ndarray) -> np.ndarray:
    """64 x 64 to 32 x 32 RGBA: means of 2 x 2 pixels, rounded; the colours weighted by alpha, invisible ones 0."""
    blocks = picture.reshape(SIZE, 2, SIZE, 2, 4).astype(np.int64).swapaxes(1, 2).reshape(SIZE, SIZE, 4, 4)
    alpha = blocks[..., 3:]
    total = alpha.sum(axis=2)
    colour = (2 * (alpha * blocks[..., :3]).sum(axis=2) + total) // np.maximum(2 * total, 1)
    alpha = (total + 2) // 4
    return np.concatenate([colour * (alpha > 0), alpha], axis=-1).astype(np.uint8)


def without_duplicates(codes: list[str], pictures: list[np.ndarray]) -> list[int]:
    """The indices to keep: of bit-equal pictures that with the shortest code, then the later one.

    Noto's snowboarder shows no skin, and a family of man and boy is drawn as one of adult and child.
    """
    best: dict[bytes, int] = {}
    for i, picture in enumerate(pictures):
        twin = best.setdefault(picture.tobytes(), i)
        if len(codes[i]) <= len(codes[twin]):
            best[picture.tobytes()] = i
    return sorted(best.values())


def read_names(folder: Path, language: str) -> dict[str, dict[str, Any]]:
    """{code: name and keywords}, without keywords that are part of the name."""
    named = {}
    for file, kind in ((NAMES, "annotations"), (NAMES_OF_SEQUENCES, "annotationsDerived")):
        path = f"{kind}/{language}/annotations.json"
        content = json.loads(read_files(folder / file, path.__eq__)[path])
        for characters, about in content[kind]["annotations"].items():
            code = plain("-".join(f"{ord(character):04X}" for character in characters)).lower()
            name = about["tts"][0] if "tts" in about else ""
            words = [word for word in about.get("default", []) if word.casefold() not in name.casefold()]
            named[code] = {"name": name, "keywords": words}
    return named


def main(folder: Path) -> str | None:
    """Writes the file; returns a sentence if something is wrong."""
    for name, expected in SOURCES.items():
        if not (folder / name).is_file():
            return f"{folder / name} is missing."
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            return f"{folder / name} is not the published package: its SHA-256 is not {expected}."
    file = make(folder)
    PACK.write_bytes(file)
    found = hashlib.sha256(file).hexdigest()
    print(f"{PACK}: {len(file):,} bytes, SHA-256 {found}")
    return None if found == SHA256 else f"This is not the published file, whose SHA-256 is {SHA256}."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m minidiffusion.data.make_emoji FOLDER")
    sys.exit(main(Path(sys.argv[1])))
