"""Completion of the command line, in real shells on a terminal: what TAB writes,
and that nothing that `xapsd --help` shows is missing."""
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest

from phones import ACCOUNT, OTHER, TOKEN
from xapsd import ROOT, executable

LIMIT_S = 30
SHELLS = ["bash", "zsh"]
# Only how they are shown by `xapsd list`; each is one argument in the end.
ODD = ["o'brien", 'say "hi" now', "john smith", "back\\slash", "$(touch oops)",
       "müller", "pa;ul", 'en"d",', "co:lon=x@example.org"]

BASH = r"""
PS1='> '
source %(completion)s
written() { printf '%%s\n' "$READLINE_LINE" >>out; }
bind -x '"\C-xs": written'
found() {
	local COMP_LINE=$READLINE_LINE COMP_WORDS COMP_CWORD COMPREPLY
	eval "COMP_WORDS=($COMP_LINE'')"
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_xapsd xapsd "${COMP_WORDS[-1]}"
	printf '%%s\n' "${COMPREPLY[@]}" END >>out
}
bind -x '"\C-xf": found'
"""
ZSH = r"""
PS1='> '
fpath=(%(folder)s/fpath $fpath)
autoload -U compinit && compinit -u -d %(folder)s/dump
setopt no_beep no_list_ambiguous
written() { print -r -- "$BUFFER" >>out }
zle -N written
bindkey '^Xs' written
capture() {
	compadd() {
		local -a hits
		if [[ ${@[1,(i)(-|--)]} == *-[OAD]* ]]; then
			builtin compadd "$@"
			return
		fi
		builtin compadd -A hits "$@"
		print -rl -- $hits >>out
		builtin compadd "$@"
	}
	_main_complete
	unfunction compadd
	print END >>out
}
zle -C found complete-word capture
bindkey '^Xf' found
"""


class Shell:
    """An interactive shell, in a folder of its own, that types and tells."""

    def __init__(self, name, folder, path):
        assert shutil.which(name), "%s is missing: make deps" % name
        self.name, self.folder = name, folder
        self.out = folder / "out"
        self.screen = b""
        (folder / "fpath").mkdir()
        shutil.copy(ROOT / "completion/xapsd.zsh", folder / "fpath/_xapsd")
        start = folder / "start"
        start.write_text((BASH if name == "bash" else ZSH) % {
            "folder": folder, "completion": ROOT / "completion/xapsd.bash"})
        args = {"bash": ["bash", "--norc", "--noprofile", "-i"],
                "zsh": ["zsh", "-f", "-i"]}[name]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(args[0], args, {
                "PATH": "%s:%s" % (path, os.environ["PATH"]), "TERM": "vt100",
                "HOME": str(folder), "LC_ALL": "C.UTF-8", "HISTFILE": ""})
        os.set_blocking(self.fd, False)
        self.type(". ./start; print -r begun >out\n" if name == "zsh" else
                  ". ./start; echo begun >out\n")
        self.wait("begun\n")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self):
        try:
            self.screen += os.read(self.fd, 65536)
        except (BlockingIOError, OSError):
            time.sleep(0.005)

    def wait(self, end):
        limit = time.monotonic() + LIMIT_S
        while True:
            text = self.out.read_text() if self.out.exists() else ""
            if text.endswith(end):
                self.out.unlink()
                return text[:-len(end)]
            assert time.monotonic() < limit, self.screen.decode()
            self.read()

    def tab(self, line):
        """The line after TAB."""
        self.type(line + "\t\x18s")
        text = self.wait("\n")
        self.type("\x15")
        return text

    def found(self, line):
        """All that could come next."""
        self.type(line + "\x18f")
        text = self.wait("END\n")
        self.type("\x15")
        return [t for t in text.splitlines() if t]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(params=SHELLS)
def shell(request, workdir):
    folder = workdir / "sh"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/xapsd").symlink_to(executable())
    shell = Shell(request.param, folder, folder / "bin")
    yield shell
    shell.close()
    assert b"not found" not in shell.screen and b"rror" not in shell.screen


def helped(*args):
    return subprocess.run([executable(), *args], capture_output=True,
                          text=True, check=True).stdout


def commands():
    """Each command of the help, and its usage."""
    rows = re.findall(r"^  ([a-z]+)((?: [\w\[\]-]+)*?)  +\S", helped("--help"),
                      re.M)
    assert dict(rows)["import"] == " FILE"
    return dict(rows)


def options(text):
    return set(re.findall(r"(?<![\w-])(--?[a-zV][a-z]*)", text))


def test_knows_all_that_help_shows(shell):
    assert set(shell.found("xapsd ")) == {*commands(), "version"}
    known = options(re.search(r"^  -c, .*", helped("--help"), re.M | re.S)[0])
    assert {"-c", "--config", "--syslog", "-V", "--help"} <= known
    for command, usage in commands().items():
        for line in ("xapsd -", "xapsd %s -" % command):
            if shell.name == "zsh" and command == "help":
                continue
            found = set(shell.found(line)) | set(shell.found(line + "-"))
            of_it = options(usage) if command in line else set()
            assert found == known | of_it, line


def test_writes_commands_and_options(shell):
    assert shell.tab("xapsd che") == "xapsd check "
    assert shell.tab("xapsd check --off") == "xapsd check --offline "
    assert shell.tab("xapsd help exp") == "xapsd help export "
    assert shell.tab("xapsd -v -c x.yaml sta") == "xapsd -v -c x.yaml status "
    assert shell.tab("xapsd nonsense x") == "xapsd nonsense x"
    assert shell.tab("xapsd push --js") == "xapsd push --js"


def test_files(shell):
    (shell.folder / "a file.yaml").write_text("")
    (shell.folder / "push").mkdir()
    (shell.folder / "push/aps.csr").write_text("")
    for line in ("xapsd -c ", "xapsd --config ", "xapsd import ",
                 "xapsd -v import ", "xapsd csr "):
        assert shell.tab(line + "a") == line + "a\\ file.yaml "
        assert shell.tab(line + "pus") == line + "push/"
        assert shell.tab(line + "push/a") == line + "push/aps.csr "


@pytest.fixture
def users(start_xapsd, shell):
    """Names with all that shells care for; the line's beginning, and words of
    the daemon."""
    daemon = start_xapsd()
    for i, name in enumerate(ODD):
        daemon.register(name, "A%d" % i, "%064x" % i)
    daemon.register("alice@example.org", ACCOUNT, TOKEN)
    daemon.register("alice@example.org", "B", OTHER)
    return "xapsd -c %s " % daemon.config_path


def test_users(shell, users):
    for command in ("push", "list", "forget"):
        line = users + command + " "
        assert shell.tab(line + "alice") == line + "alice@example.org "
        assert shell.tab(line + "alice@ex") == line + "alice@example.org "
        assert shell.tab(line + "alice@") == line + "alice@example.org "
        assert shell.tab(line + "nobody") == line + "nobody"


def test_config_after_the_command(shell, users):
    config = users.split()[2]
    for option in ("-c ", "--config ", "--config="):
        line = "xapsd push %s%s " % (option, config)
        assert shell.tab(line + "alice") == line + "alice@example.org "


def words(shell, line):
    """What the shell reads there after the command."""
    return subprocess.run(
        [shell.name, "-c", "xapsd() { shift 3; printf '%s\\n' \"$@\"; }\n"
         + line], capture_output=True, text=True).stdout.splitlines()


def test_odd_names_are_one_word(shell, users):
    for name in ODD:
        start = re.sub(r"[$'(]", r"\\\g<0>", name[:2])
        line = shell.tab(users + "push " + start)
        assert words(shell, line) == [name], line


def test_after_the_end_of_options(shell, start_xapsd):
    """The way to a name that looks like an option."""
    daemon = start_xapsd()
    daemon.register("-dash", ACCOUNT, TOKEN)
    daemon.register("alice", ACCOUNT, OTHER)
    for command in ("push", "doctor", "forget"):
        line = "xapsd -c %s %s -- " % (daemon.config_path, command)
        assert shell.tab(line + "al") == line + "alice "
        assert shell.tab(line + "-d") == line + "-dash "
    line += "-dash "
    assert shell.tab(line) == line + ACCOUNT + " "


def test_names_in_quotes(shell, users):
    for quote in "\"'":
        for name in [*ODD, "alice@example.org"]:
            if quote in name[:3]:
                continue
            start = name[:3].replace("$", "\\$") if quote == '"' else name[:3]
            line = shell.tab(users + "push " + quote + start)
            assert words(shell, line) == [name], line


def test_devices_of_a_user(shell, users):
    line = users + "forget alice@example.org "
    assert set(shell.found(line)) == {ACCOUNT, "B"}
    assert shell.tab(line + ACCOUNT[:3]) == line + ACCOUNT + " "
    line += ACCOUNT + " "
    assert shell.tab(line + TOKEN[:4]) == line + TOKEN + " "
    assert shell.tab(line) == line + TOKEN + " "    # not of the account B
    line = users + "forget john\\ smith "
    assert shell.tab(line) == line + "A2 "


def test_silent_without_a_daemon(shell):
    shell.screen = b""
    for conf in ("/nonexistent", "./start", "''", "'o"):
        line = "xapsd -c %s push al" % conf
        assert shell.tab(line) == line
    assert b"nonexistent:" not in shell.screen
    assert b"xapsd: " not in shell.screen
