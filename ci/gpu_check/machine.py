"""Which machine this is, and the build: machine, build."""
import glob
import os
import re
import shutil

from gpu_check.report import ROOT, Red, Skipped

# Dense bf16 TFLOP/s with float32 sums and GB/s of memory, as NVIDIA's data sheets have them; the longest name that fits counts.
PEAKS = {"A100-SXM4-80GB": (312, 2039), "A100-SXM4-40GB": (312, 1555), "A100-PCIE-40GB": (312, 1555), "A100 80GB PCIe": (312, 1935), "A100": (312, 1555),
         "A30": (165, 933), "A10": (125, 600), "A40": (150, 696), "RTX A6000": (155, 768), "L4": (121, 300), "L40S": (362, 864), "L40": (181, 864),
         "RTX 6000 Ada": (364, 960), "RTX 3090": (71, 936), "RTX 4090": (165, 1008), "H100 PCIe": (756, 2039), "H100 NVL": (835, 3938), "H100": (989, 3352),
         "H200 NVL": (835, 4800), "H200": (989, 4800), "GH200": (989, 4000), "B200": (2250, 8000)}
QUERY = ["name", "driver_version", "memory.total", "memory.free", "clocks.max.sm", "clocks.max.mem", "clocks.sm", "clocks.mem", "clocks_throttle_reasons.active",
         "power.limit", "power.default_limit", "power.draw", "temperature.gpu", "mig.mode.current", "ecc.mode.current", "compute_mode", "pcie.link.gen.current",
         "pcie.link.width.current", "utilization.gpu"]


def peak_of(card):
    fits = [n for n in PEAKS if n.lower() in card.lower()]
    return PEAKS[max(fits, key=len)] if fits else None


def machine(r):
    figures = {"cpus": os.cpu_count(), "kernel": os.uname().release}
    found = r.run("machine", "nvidia-smi", ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"], limit=30) if shutil.which("nvidia-smi") else None
    cards = [dict(zip(QUERY, (f.strip() for f in l.split(",")))) for l in found.text.splitlines() if l.count(",") == len(QUERY) - 1] if found and found.ok else []
    figures["cards"] = cards
    figures["torch"] = r.run("machine", "torch", [r.args.python, "-c", "import torch; print(torch.__version__, torch.version.cuda)"], limit=60).last()
    figures["nvcc"] = r.run("machine", "nvcc", ["nvcc", "--version"], limit=30).text.strip().splitlines()[-1:] if shutil.which("nvcc") else []
    figures["tools"] = {t: shutil.which(t) is not None for t in ("compute-sanitizer", "mpirun", "nsys", "ncu")}
    if r.args.dry:
        r.card = "emulated H100"
        r.env = {"HEADCT_CUDA_LIBRARY": os.path.join(r.build, "tests/cuda/device/emulated_cuda.so"), "HCT_PLUGIN_PATH": os.path.join(r.build, "tests/cuda/device"),
                 "OMP_NUM_THREADS": "2", "HEADCT_CACHE": "off", "EMU_MEMORY": os.environ.get("EMU_MEMORY", "85000000000")}
    elif not cards:
        raise Red("nvidia-smi shows no GPU; --dry runs everything without one.", figures)
    else:
        r.card = cards[0]["name"]
    r.cards = len(cards)
    r.peak = peak_of(r.card)
    figures["peak"] = {"bf16_tflops": r.peak[0], "memory_gb_s": r.peak[1]} if r.peak else None
    notes = [f"MIG is {c['mig.mode.current']}" for c in cards if c["mig.mode.current"].lower() == "enabled"]
    notes += [f"the power cap is {c['power.limit']} W of {c['power.default_limit']} W" for c in cards if c["power.limit"] != c["power.default_limit"]]
    notes += [f"{c['utilization.gpu']}% busy before the check began" for c in cards if c["utilization.gpu"].isdigit() and int(c["utilization.gpu"]) > 5]
    notes += [] if r.peak else ["its peak is not in the table, so no share of it is given"]
    return f"{'No card, the emulated device' if r.args.dry else f'{max(len(cards), 1)} x {r.card}'}; {'; '.join(notes) or 'nothing unusual'}.", figures


def build(r):
    if not os.path.exists(os.path.join(r.build, "build.ninja")):
        done = r.run("build", "setup", ["meson", "setup", r.build, *([] if r.args.dry else ["-Dcuda=enabled", "-Dnvcc_kernels=all"])])
        if not done.ok:
            raise Red(f"meson setup fails: {done.last()}")
    targets = ["apps/headct", "tests/ops/test-ops", "tests/cuda/test_faults"]
    if r.args.dry:
        targets += ["tests/cuda/device/emulated_cuda.so", "tests/cuda/device/ready"]
    done = r.run("build", "ninja", ["ninja", "-C", r.build, *([] if not r.args.dry else targets)])
    if not done.ok:
        raise Red(f"the build fails: {done.last()}")
    golden = [f"tests/golden/golden_{n}" for n in ("vit", "mae", "dino")]
    r.run("build", "golden", ["ninja", "-C", r.build, *golden])
    figures = {}
    if not r.args.dry:
        more = r.run("build", "kernels", ["ninja", "-C", r.build, "cuda-kernels"])
        wanted = len(re.findall(r"^[^\s:]+\.fatbin:", r.run("build", "targets", ["ninja", "-C", r.build, "-t", "targets", "all"]).text, re.M))
        made = len(glob.glob(os.path.join(r.build, "backends/kernels/*.fatbin")))
        figures["fatbins"] = {"made": made, "wanted": wanted}
        if not made:
            raise Red(f"no device kernel was compiled: {more.last()}", figures)
        if made < wanted:
            r.cut(f"{wanted - made} of {wanted} files of device kernels were not compiled in time")
    else:
        figures["modules"] = len(glob.glob(os.path.join(r.build, "tests/cuda/device/cuda/*.fatbin")))
    text = r.headct("build", "backends", "backends").text
    figures["libraries"] = [l.strip() for l in text.splitlines() if l.startswith("  library ")]
    if "device cuda:0" not in text:
        raise Red("headct sees no CUDA device: " + next((l.strip() for l in text.splitlines() if "no device" in l), "see logs/build/backends.txt") + ".", figures)
    device = next(l.strip() for l in text.splitlines() if "device cuda:0" in l)
    if "cannot be used" in device:
        raise Red(f"headct cannot use the card: {device}.", figures)
    missing = [l for l in figures["libraries"] if "cannot be opened" in l and "NCCL" not in l]
    return f"Built; {device.split('  ')[-1]}." + (f" Missing: {'; '.join(m.split(':')[0].replace('library ', '') for m in missing)}." if missing else ""), figures


__all__ = ["ROOT", "Skipped", "build", "machine", "peak_of"]
