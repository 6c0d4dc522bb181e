# SPDX-License-Identifier: Apache-2.0
"""Makes an assembler file and a table of a built web page. embed_web.py DIST OUT: OUT/web_files.S and OUT/web_table.cpp.
A DIST that is not there gives an empty table. Files are packed with gzip, and with brotli where that program is."""
import gzip
import hashlib
import pathlib
import shutil
import subprocess
import sys

PACKED = {".html", ".js", ".css", ".svg", ".json", ".map", ".txt", ".webmanifest", ".wasm", ".ico"}


def variants(path):
    """The bytes of a file, with gzip, and with brotli; empty where that gains nothing."""
    plain = path.read_bytes()
    out = [plain, b"", b""]
    if path.suffix in PACKED:
        out[1] = gzip.compress(plain, 9, mtime=0)
        if brotli := shutil.which("brotli"):
            out[2] = subprocess.run([brotli, "--best", "--stdout"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    return [plain] + [packed if len(packed) < len(plain) else b"" for packed in out[1:]]


def main():
    dist, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in dist.rglob("*") if path.is_file())
    assembler, declared, rows = [".section .rodata"], [], []
    for number, path in enumerate(files):
        row = []
        for kind, content in zip("pgb", variants(path)):
            if not content:
                row.append("{}")
                continue
            name = f"limn_web_{number}{kind}"
            (out / name).write_bytes(content)
            assembler += [f".global {name}", f"{name}:", f'.incbin "{(out / name).absolute()}"']
            declared.append(f"extern const char {name}[];")
            row.append(f"{{{name}, {len(content)}}}")
        etag = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        rows.append(f'    {{"/{path.relative_to(dist).as_posix()}", "{etag}", {", ".join(row)}}},')
    assembler.append('.section .note.GNU-stack,"",%progbits')
    (out / "web_files.S").write_text("\n".join(assembler) + "\n")
    table = [f"const WebFile kFiles[] = {{\n" + "\n".join(rows) + "\n};"] if rows else []
    (out / "web_table.cpp").write_text("\n".join([
        '#include "limn/server/web_files.h"', 'extern "C" {', *declared, "}", "namespace limn::server {", *table,
        f"std::span<const WebFile> web_files() {{ return {'kFiles' if rows else '{}'}; }}", "}  // namespace limn::server", ""]))


main()
