"""Makes stand-ins for the CUDA libraries that PyTorch's package links to, so that it can be imported without them: they
take 3 GB, and CPUs do not need them. Each function that PyTorch imports from them reports that no device was found.
Usage: without_cuda.py FOLDER (of the stand-ins; then run with LD_LIBRARY_PATH=FOLDER). Needs cc and readelf.
"""

import re
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

NO_DEVICE = 100  # cudaErrorNoDevice
CUDA_LIBRARY = re.compile(r"lib(cu|nccl|nvrtc|nvJitLink|nvshmem_host)\S*\.so\.\S+")
CUDA_SYMBOL = re.compile(r"(nccl|nvrtc|nvshmem|cu)[A-Z]\w+|cu(da|blas|dnn|pti|fft|sparse|solver)\w+")


def lines_of(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def libraries_needed(library: Path) -> set[str]:
    """The names of the CUDA libraries that a library links to."""
    needed = (re.search(r"\(NEEDED\).*\[(.+)]", line) for line in lines_of("readelf", "-dW", str(library)))
    return {found[1] for found in needed if found and CUDA_LIBRARY.fullmatch(found[1])}


def files_of_versions(library: Path) -> dict[str, str]:
    """The CUDA library that each version of an imported symbol belongs to."""
    files, file = {}, ""
    for line in lines_of("readelf", "-VW", str(library)):
        if found := re.search(r"File: (\S+)", line):
            file = found[1]
        elif (found := re.search(r"Name: (\S+)  Flags", line)) and CUDA_LIBRARY.fullmatch(file):
            files[found[1]] = file
    return files


def symbols_needed(library: Path) -> set[tuple[str, str, str]]:
    """The CUDA symbols that a library imports: name, version and library ("" where a symbol has no version)."""
    files, needed = files_of_versions(library), set()
    for fields in map(str.split, lines_of("readelf", "--dyn-syms", "-W", str(library))):
        if len(fields) < 8 or fields[6] != "UND":
            continue
        name, _, version = fields[7].partition("@")
        if version in files or (not version and CUDA_SYMBOL.fullmatch(name)):
            needed.add((name, version, files.get(version, "")))
    return needed


def make_library(folder: Path, name: str, version: str, symbols: set[str]) -> None:
    """Compiles a library that defines functions of these names."""
    source, script = folder / "stand-in.c", folder / "stand-in.map"
    source.write_text("".join(f"int {symbol}(void) {{ return {NO_DEVICE}; }}\n" for symbol in sorted(symbols)))
    script.write_text(f"{version} {{ *; }};\n")
    versions = [f"-Wl,--version-script={script}"] if version else []
    command = ["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", *versions, "-o", str(folder / name), str(source)]
    subprocess.run(command, check=True)
    for file in (source, script):
        file.unlink()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch = find_spec("torch").submodule_search_locations[0]  # without importing it, which would fail
    libraries, symbols, versions = set(), defaultdict(set), {}
    for path in (Path(torch) / "lib").glob("*.so"):
        libraries |= libraries_needed(path)
        for name, version, library in symbols_needed(path):
            symbols[library].add(name)
            versions[library] = version
    for library in libraries:
        # A symbol without a version may come from any library without versions.
        make_library(folder, library, versions.get(library, ""), symbols.get(library, symbols[""]))


if __name__ == "__main__":
    main()
