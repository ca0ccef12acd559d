"""`make flame`: flame graphs of the three main paths, drawn from what perf samples while they run.

A program does the work of a path over and over (``profiles.py work PATH``), and perf looks at it for a few
seconds. Drawn is what may be ours to change: all beyond the calls of TetherDB, without Rust's own frames.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import count, groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "performance"
SAMPLES_A_SECOND = 997
# By path: the title, how long perf looks, at which threads, and the verb that is not meant.
PATHS = {
    "enqueue": ("write_queue_message of a dict of 100 bytes, the worker asleep", 6, "--tid", "flush"),
    "delivery": ("queued to the local file, end to end, default settings", 3, "--pid", None),
    "read": ("read_message, and read_messages of 1 000", 2, "--tid", None),
}
# Rust's own way to the code that somebody wrote.
PLUMBING = re.compile(
    r"(core::ops::function|std::thread|std::panic|std::sys::(backtrace|thread)|pyo3::impl_::trampoline).*"
    r"|.*(call_once|call_mut|catch_unwind|do_call|rust_begin_short_backtrace|thread_start|trampoline|\{closure\})"
    r"|start_thread|clone3?"
)


def work(path: str) -> None:
    """The work of a path, until somebody ends the program. A line says when it is under way."""
    from guard_works import enqueue, read
    from records import items, scattered_keys

    from TetherDB import DB

    messages = items(50_000)
    batch = {"size": 1_000_000, "timeout": 86_400} if path == "enqueue" else {}
    db = DB({"local": {"filepath": "store"}, "queue_batch": batch})
    db.write_messages(messages)
    db.start()
    keys = scattered_keys(1_000, len(messages))
    print("ready", flush=True)
    for turn in count(1):
        if path == "read":
            read(db, [(message_key, None) for message_key in keys])
            db.read_messages(keys)
        else:
            # Other keys each time, since replacing costs more than adding.
            enqueue(db, [(f"user:{turn}{at:07}", value) for at, (_, value) in enumerate(messages)])
            db.flush()


def sample(path: str) -> str:
    """The stacks of a path, as perf tells them."""
    _, seconds, threads, *_ = PATHS[path]
    (ROOT / "target").mkdir(exist_ok=True)
    # There, since the system's own folder may be a RAM disk, on which a sync costs nothing.
    with tempfile.TemporaryDirectory(prefix="flame-", dir=ROOT / "target") as folder:
        command = [sys.executable, __file__, "work", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder) as program:
            try:
                if not (program.stdout and program.stdout.readline()):
                    sys.exit(f"flame: {path} did not begin; the reason is above.")
                # Releases have no frame pointers, so that stacks are copied, and unwound afterwards.
                look = ["perf", "record", "--quiet", f"--freq={SAMPLES_A_SECOND}", "--call-graph=dwarf,16384"]
                # Named, since perf takes a standard output that is a pipe for the place to write to.
                look += ["--output=perf.data", threads, str(program.pid), "--", "sleep", str(seconds)]
                subprocess.run(look, cwd=folder, check=True)
            finally:
                program.kill()
        tell = ["perf", "script", "--input=perf.data", "--fields=comm,ip,sym,dso"]
        return subprocess.run(tell, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def fold(told: str, without: str | None = None) -> Counter[tuple[str, ...]]:
    """How often each stack was seen: the thread, then the frames, the outermost first."""
    stacks: Counter[tuple[str, ...]] = Counter()
    modules: dict[str, str] = {}
    for name, *lines in (each.splitlines() for each in told.strip().split("\n\n")):
        frames: list[str] = []
        for _, there in groupby(lines, key=lambda line: line.split()[0]):
            frames += at_one_address(list(there), modules)
        if "_PyEval_EvalFrameDefault" in frames:
            frames = frames[: frames.index("_PyEval_EvalFrameDefault")]
        frames = [frame for frame in reversed(frames) if not PLUMBING.fullmatch(frame)]
        if any("tetherdb::" in frame for frame in frames) and without not in frames:
            stacks["worker" if name.startswith("tetherdb-") else "caller", *frames] += 1
    return stacks


def at_one_address(lines: list[str], modules: dict[str, str]) -> list[str]:
    """What was inlined at an address, the innermost first, and then the function that it is in."""
    inlined = [short(line) for line in lines if line.endswith("(inlined)")]
    function = next((short(line) for line in lines if not line.endswith("(inlined)")), "")
    # perf tells the function among the inlined too, without its module; now and then there alone.
    bare = function.rpartition("::")[2] or inlined[-1]
    function = modules[bare] = function or modules.get(bare, bare)
    return [*(name for name in inlined if name != bare), function]


def short(line: str) -> str:
    """The name in a line ``address name (file)``, without paths and all that is generic."""
    name, _, file = line.split(maxsplit=1)[1].rpartition(" (")
    if name == "[unknown]":
        return f"[{Path(file.rstrip(')')).name}]"
    name = re.sub(
        r"::h[0-9a-f]{16}$|\.(llvm|part|isra|constprop|cold)\b.*|@@.*|->|\{impl#\d+\}::|#\d+", "", name
    )
    name = name.replace("{{closure}}", "{closure}").replace("closure_env", "closure")
    # Of `<Type as Trait>::method` the type.
    name = re.sub(r"^<([^<>]+)(<.*>)? as .*>::", r"\1::", name)
    before = ""
    while name != before:
        before, name = name, re.sub(r"(::)?<[^<>]*>", "", name)
    return f"{name}_[k]" if file.startswith("[kernel") else name.replace(";", ",")


def draw(path: str, stacks: Counter[tuple[str, ...]]) -> None:
    folded = "".join(f"{';'.join(stack)} {seen}\n" for stack, seen in sorted(stacks.items()))
    # Frames narrower than 0.2 % are left out: nobody could read them.
    command = ["inferno-flamegraph", "--deterministic", "--minwidth=0.2", "--width=1200"]
    command += [f"--title={path}: {PATHS[path][0]}", "--subtitle=processor time; waiting is not in it"]
    picture = subprocess.run(command, input=folded, check=True, stdout=subprocess.PIPE, text=True).stdout
    (PICTURES / f"flame-{path}.svg").write_text(picture)
    print(f"flame-{path}.svg: {stacks.total()} samples, {len(picture) // 1000} kB")


def main() -> None:
    if not shutil.which("perf"):
        sys.exit("flame: perf is missing. Get it from your system's packages: `apt-get install linux-perf`.")
    if not shutil.which("inferno-flamegraph"):
        sys.exit("flame: inferno is missing. `cargo install inferno`, and put ~/.cargo/bin on the PATH.")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in sys.argv[1:] or PATHS:
        draw(path, fold(sample(path), without=PATHS[path][3]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2])
    else:
        main()
