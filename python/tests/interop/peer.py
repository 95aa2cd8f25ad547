"""The reference in a process of its own: runs what it is sent, and answers with the value of `result` or the error.

Started with the interpreter of the environment that holds the reference (``LODE_TEST_PEER``). A message is a pickle
with its length in front. The first one names a directory and an environment: a child process takes them on and then
imports the reference, which is ``dj`` in the code that it is sent; an empty message ends the child. What the reference
stands on is imported before, once, because that takes most of the time.
"""

import contextlib
import importlib
import os
import pickle
import struct
import warnings

SLOW = (
    "numpy",
    "pandas",
    "networkx",
    "matplotlib.pyplot",
    "pydantic_settings",
    "fsspec",
    "psycopg2",
    "pymysql",
    "IPython",
)


def exactly(requests, size):
    data = b""
    while len(data) < size and (more := requests.read(size - len(data))):
        data += more
    return data


def receive(requests):
    header = exactly(requests, 8)
    return pickle.loads(exactly(requests, struct.unpack("<q", header)[0])) if header else None


def run(requests, answers) -> None:
    import datajoint as dj

    dj.config["safemode"] = False
    dj.logger.setLevel("ERROR")
    names = {"dj": dj}
    while code := receive(requests):
        names.pop("result", None)
        try:
            exec(compile(code, "<peer>", "exec"), names)
            answer = (True, names.get("result"))
            data = pickle.dumps(answer)
        except BaseException as error:
            data = pickle.dumps((False, (type(error).__name__, str(error)[:500])))
        answers.write(struct.pack("<q", len(data)) + data)
        answers.flush()


def main() -> None:
    warnings.simplefilter("ignore")
    # Unbuffered: what one process has read, the other does not see.
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    # What the reference prints must not get between the answers.
    os.dup2(2, 1)
    for name in SLOW:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    while place := receive(requests):
        folder, environment = place
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            run(requests, answers)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            os._exit(1)


main()
