"""Build the tiny policy that ships with steerctl: `python experiments/tiny_policy/build.py [--out DIR]`.

The training itself runs in a child process whose environment leaves nothing to chance: one thread, one instruction set,
no GPU. On the machine type named in README.md the weights come out bit for bit as in SHA256SUMS.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "steerctl" / "assets" / "tiny_policy"
SUMS = HERE / "SHA256SUMS"
WEIGHTS = "model.safetensors"

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))),
}


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write (default: the shipped asset)")
    parser.add_argument("--write-sums", action="store_true", help="make the result the expected one")
    args = parser.parse_args()
    command = [sys.executable, str(HERE / "train.py"), "--out", str(args.out)]
    subprocess.run(command, env=os.environ | ENVIRONMENT, check=True)
    found = sha256(args.out / WEIGHTS)
    print(f"{found}  {WEIGHTS}")
    if args.write_sums:
        SUMS.write_text(f"{found}  {WEIGHTS}\n")
    expected = SUMS.read_text().split()[0]
    if found != expected:
        print(f"differs from the expected {expected}: another processor or library version rounds differently")
        return 1
    print("the same bits as the shipped policy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
