"""Build the tiny policy that ships with steerctl: `python experiments/tiny_policy/build.py [--out DIR]`.

The training itself runs in a child process whose environment leaves nothing to chance: one thread, one instruction set,
no GPU. On the machine type named in README.md the weights come out bit for bit as in SHA256SUMS. Without `--out` the
shipped folder is rewritten, but only by the expected bits; others are left in build/tiny_policy.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "steerctl" / "assets" / "tiny_policy"
SCRATCH = ROOT / "build" / "tiny_policy"
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder to write instead of the shipped one")
    parser.add_argument("--accept", action="store_true", help="ship the result, and expect it from now on")
    args = parser.parse_args()
    folder: Path = args.out or SCRATCH
    command = [sys.executable, str(HERE / "train.py"), "--out", str(folder)]
    if code := subprocess.run(command, env=os.environ | ENVIRONMENT, check=False).returncode:
        return code
    found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    print(f"{found}  {WEIGHTS}")
    if args.accept:
        SUMS.write_text(f"{found}  {WEIGHTS}\n")
    expected = SUMS.read_text().split()[0]
    if found != expected:
        print(
            f"not the expected {expected}: the recipe was changed, or another processor or library version rounds "
            f"differently; the result is in {folder}, the shipped policy is untouched (--accept ships it)"
        )
        return 1
    if args.accept or args.out is None:
        shutil.copytree(folder, SHIPPED, dirs_exist_ok=True)
    print("the expected bits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
