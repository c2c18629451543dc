"""Classes of wrong inputs on the command line: words, overrides, sweeps."""

from __future__ import annotations

from random import Random

from bad_input_try import HOOK, RUN, Try, body, written


def override(draw: Random) -> Try:
    """A command line that Hydra, or our frame, refuses."""
    words = draw.choice(
        (
            *(
                "nope=1",
                "+jobs.x.executor.value=1",
                "jobs.x.executor.valu=1",
                "jobs.z.executor.a=1",
            ),
            *("jobs.x.executor.value=[1", "jobs.x.executor.value={a", "jobs.x.executor.value='a"),
            *(
                "jobs.x.executor.value=a(b",
                "=",
                "==",
                "x",
                "+",
                "~",
                "~~x",
                "++",
                "+=1",
                "=3",
                "@x=1",
            ),
            *("~jobs", "~pipelines", "~cap", "~store_dir", "~outputs_dir", "~watcher", "~hydra"),
            *("hook@jobs.x=general", "compute=nope", "watcher=nope", "+env@jobs.x.env=nope"),
            *("+experiment=nope", "+experiment=", "+experiment=[a,b]", "+experiment=../bad"),
            *("+experiment=/etc/passwd", "+experiment=bad/x", "experiment=bad", "--cfg=nope"),
            *("--nope", "--config-name=nope", "--config-dir=nope", "--config-path=nope", "--cfg"),
            *("--package=x", "-z", "jobs=null", "jobs.x=null", "jobs.x=3", "jobs.x.executor=null"),
            *("jobs.x._target_=3", "jobs.x._target_=os.system", "pipelines.main=3", "a b=c"),
            *("pipelines.main.execution_jobs=x", "pipelines.main.execution_jobs=[x,x]", "cap=null"),
            *(
                "pipelines.main.execution_jobs=[nope]",
                "pipelines.main.exe_jobs=[x]",
                "cap.numbers=3",
            ),
            *("cap.lists=[1]", "cap.numbers.count=a", "cap.lists.paths=-1", "+cap.x=3", "cap=[]"),
            *("\udcff=1", "ä=\udcff", "jobs.x.executor.value=\udcff", "${nope}=1", "${jobs}=1"),
            *("jobs.x.executor.value=range(1,", "jobs.x.executor.value=glob(*", "k" * 5000 + "=1"),
        )
    )
    right = {
        "experiment=bad",
        "--package=x",
        "~cap",
        "~hydra",
        "~watcher",
        "jobs.x.executor.value=\udcff",
        "--cfg",
    }
    expected = (0, 2) if words in right else (2,)
    name = words.lstrip("+~-").partition("=")[0][:40]
    given = Try((*RUN, "dry_run=true", words), written(body()), expected, ("",))
    known = (
        name,
        name.split(".")[0],
        "verride",
        "experiment",
        "EQUAL",
        "usage",
        "command",
        "env/nope",
    )
    return Try(given.words, given.files, expected, known)


def failing_job(draw: Random) -> Try:
    """A job that fails with an odd message."""
    message = draw.choice(
        (
            "no",
            "",
            "\n" * 50,
            "x" * 100_000,
            "ä\u202e\U0001f600",
            "\udcff",
            "%s %d",
            "\x1b[31m",
            "a\0b",
        )
    )
    config = body(
        jobs={
            "x": {
                "_target_": HOOK,
                "executor": {"_target_": "bad_input_toys.Fail", "message": message},
            }
        },
        pipelines={"main": {"execution_jobs": ["x"]}},
    )
    if message == "\udcff":
        config["jobs"]["x"]["executor"]["message"] = "\\udcff"
    return Try((*RUN, *draw.choice(((), ("compute=local",)))), written(config), (1,), ("x",))


def command_word(draw: Random) -> Try:
    """A command line that begins with a word that is no command."""
    word = draw.choice(
        (
            *(
                "docter",
                "run",
                "help",
                "list",
                "x" * 100_000,
                "a-b",
                "Ä",
                "--",
                "-x",
                "--nope",
                "",
                " ",
                "/",
            ),
            *(
                "bad",
                "bad.yaml",
                "conf/experiment/bad.yaml",
                "@",
                "\n",
                "*",
                "sandbox",
                "\udcff",
                "1",
                "--run=",
            ),
            *(
                "doctor",
                "experiment=bad",
                "+experiment",
                "experiment",
                "-m",
                "--multirun",
                "--info=x",
            ),
        )
    )
    more = draw.choice(((), ("--nope",), ("nope",), ("+experiment=bad",), ("a=b",)))
    words = (word, *more)
    right = word in ("doctor", "-m", "--multirun", "--", "")
    named = (word[:20], "command", "usage", "config", "EQUAL", "pipelines")
    return Try(words, written(body()), (0, 1, 2) if right else (2,), named)


def sweep(draw: Random) -> Try:
    """A sweep whose values, sweeper or trials are wrong."""
    words = draw.choice(
        (
            *(("jobs.x.executor.count=0,1",), ("jobs.x.executor.nope=1,2",), ("nope=1,2",)),
            *(
                ("jobs.x.executor.value=1,",),
                ("jobs.x.executor.value=range(1,",),
                ("+experiment=bad,nope",),
            ),
            *(("hydra/sweeper=nope",), ("hydra/launcher=nope",), ("hydra.sweeper.params=3",)),
            *(("hydra.sweep.dir=/",), ("hydra.sweep.dir=''",), ("hydra.sweep.subdir=../../x",)),
            *(("outputs_dir=''",), ("experiment_name=''",), ("targets=nope",), ("store_dir=/",)),
            *(("hydra/sweeper=optuna_async",), ("hydra/sweeper=optuna_async", "objective=nope.a")),
            *(("hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=-1"), ("jobs=1,2",)),
            *(
                ("hydra/sweeper=optuna_async", "jobs.x.executor.count=interval(0,1"),
                ("pipelines=1,2",),
            ),
        )
    )
    first = () if words[0].startswith("+experiment") else RUN
    expected = (0, 1, 2) if words[0].startswith("hydra.sweep.subdir") else (1, 2)
    return Try(("--multirun", *first, *words), written(body()), expected, ("",))
