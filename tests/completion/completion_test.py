"""`fathom completion` in real shells: what a Tab makes of a line that is typed into bash and zsh.

Usage: completion_test.py FATHOM. Exit 1 when something is wrong, which is said. A machine without zsh tries bash alone,
and says so.
"""
import os
import pathlib
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time

PATIENCE = 20  # seconds for a shell's answer

# What is typed, and the whole line after Tab. `|` stands for the place where the cursor is then, behind a space or not.
CASES = [
    ("fathom train_c", "fathom train_compile |"),
    ("fathom --ver", "fathom --version |"),
    ("fathom verify --on", "fathom verify --only=|"),
    ("fathom deepseek_fp8_to_bf16 --input-fp8", "fathom deepseek_fp8_to_bf16 --input-fp8-hf-path=|"),
    ("fathom maxtext.trainers.pre_train.train max_target_l", "fathom maxtext.trainers.pre_train.train max_target_length=|"),
    # Behind `=` stand the values of a key, or files; never keys.
    ("fathom train hardware=g", "fathom train hardware=gpu |"),
    ("fathom train hardware=max_target_l", "fathom train hardware=max_target_l|"),
    ("fathom train model_name=deepseek3.", "fathom train model_name=deepseek3.2-671b |"),
    ("fathom train enable_checkpointing=f", "fathom train enable_checkpointing=false |"),
    ("fathom verify folder --scan=b", "fathom verify folder --scan=both |"),
    ("fathom train dataset_path=text_of", "fathom train dataset_path=text_of_run.txt |"),
    ("fathom decode --output=text_of", "fathom decode --output=text_of_run.txt |"),
    # Words that are no keys.
    ("fathom completion z", "fathom completion zsh |"),
    ("fathom help inst", "fathom help inst|"),
    ("fathom help insp", "fathom help inspect |"),
    ("fathom keys warmup_steps_f", "fathom keys warmup_steps_fraction |"),
    ("fathom report text_of", "fathom report text_of_run.txt |"),
    ("fathom train text_of", "fathom train text_of_run.txt |"),
]

# A key that prints the line as it is, with the cursor's place, between two marks, and empties it.
BASH = r"""
PS1='ready> ' PS2='' HISTFILE=
show() { printf '\n<%s|%s>\n' "${READLINE_LINE:0:READLINE_POINT}" "${READLINE_LINE:READLINE_POINT}"; READLINE_LINE=''; }
bind -x '"\C-g": show'
bind 'set enable-bracketed-paste off' 'set bell-style none'
"""
ZSH = r"""
PS1='ready> ' PS2='' HISTFILE=
unsetopt zle_bracketed_paste prompt_cr prompt_sp beep list_beep; unset zle_bracketed_paste
autoload -U compinit && compinit -u -d $PWD/.zcompdump
show() { printf '\n<%s|%s>\n' "$LBUFFER" "$RBUFFER"; BUFFER=''; zle reset-prompt }
zle -N show
bindkey -e
bindkey '^G' show
"""


class Shell:
    def __init__(self, words, folder, setup):
        self.master, slave = pty.openpty()
        environment = os.environ | {"TERM": "dumb", "COLUMNS": "500", "LINES": "50", "INPUTRC": "/dev/null"}
        self.process = subprocess.Popen(words, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        os.close(slave)
        self.said = ""
        (pathlib.Path(folder) / "setup").write_text(setup)
        self.send("source ./setup; echo set''up\n")
        self.wait("setup\r\n", "setup\n")

    def send(self, text):
        os.write(self.master, text.encode())

    def wait(self, *marks):
        """What is said up to one of the marks."""
        end = time.monotonic() + PATIENCE
        while not any(mark in self.said for mark in marks):
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no {marks} in {self.said!r}")
            self.said += os.read(self.master, 65536).decode(errors="replace")
        first = min(self.said.index(mark) + len(mark) for mark in marks if mark in self.said)
        out, self.said = self.said[:first], self.said[first:]
        return out

    def after_tab(self, line):
        self.send(f"{line}\t\x07")
        return self.wait(">\r\n", ">\n").rsplit("\n<", 1)[-1].rsplit(">", 1)[0]

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def faults(fathom, name, words, setup):
    with tempfile.TemporaryDirectory() as folder:
        script = subprocess.run([fathom, "completion", name], capture_output=True, text=True, check=True).stdout
        (pathlib.Path(folder) / "completion").write_text(script)
        (pathlib.Path(folder) / "text_of_run.txt").touch()
        shell = Shell(words, folder, setup + "source ./completion\n")
        try:
            for line, wanted in CASES:
                got = shell.after_tab(line)
                if got != wanted:
                    yield f"{name}: '{line}' becomes '{got}', not '{wanted}'"
        finally:
            shell.end()


def main():
    shells = {"bash": (["bash", "--norc", "--noprofile", "-i"], BASH), "zsh": (["zsh", "-f", "-i"], ZSH)}
    wrong = []
    for name, (words, setup) in shells.items():
        if shutil.which(name) is None:
            print(f"{name} is not installed: it is not tried")
            continue
        wrong += faults(sys.argv[1], name, words, setup)
    print("\n".join(wrong) if wrong else f"{len(CASES)} lines are completed as they should")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
