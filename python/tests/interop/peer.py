"""The reference in a process of its own: runs what it is sent, and answers with the value of `result` or the error.

Started with the interpreter of the environment that holds the reference (``LODE_TEST_PEER``). A message is a pickle
with its length in front; the code that is sent runs in one namespace, in which ``dj`` is the reference.
"""

import os
import pickle
import struct
import warnings


def main() -> None:
    warnings.simplefilter("ignore")
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the reference prints must not get between the answers.
    os.dup2(2, 1)
    import datajoint as dj

    dj.config["safemode"] = False
    dj.logger.setLevel("ERROR")
    names = {"dj": dj}
    while header := requests.read(8):
        code = pickle.loads(requests.read(struct.unpack("<q", header)[0]))
        names.pop("result", None)
        try:
            exec(compile(code, "<peer>", "exec"), names)
            answer = (True, names.get("result"))
            data = pickle.dumps(answer)
        except BaseException as error:
            data = pickle.dumps((False, (type(error).__name__, str(error)[:500])))
        answers.write(struct.pack("<q", len(data)) + data)
        answers.flush()


main()
