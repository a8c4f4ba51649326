"""The users file and the ACL file: what they say, and that a mistake in them is found and opens nothing."""

from __future__ import annotations

import pytest

from access_kit import cheap_hash, users_text
from fieldgate.config.acl_file import read_acl
from fieldgate.config.password_hash import PasswordHash
from fieldgate.config.users_file import check_user_name, read_users, with_user, without_user
from fieldgate.mqtt.access_rules import publishing, subscribing


def test_a_hash_knows_its_password_and_no_other() -> None:
    """With the parameters that `fieldgate user` writes."""
    stored = PasswordHash.parse(str(PasswordHash.of(b"secret")))

    assert stored.verify(b"secret")
    assert not stored.verify(b"Secret")
    assert not stored.verify(b"")
    assert not stored.unknown().verify(b"secret")
    assert (stored.cost_log2, stored.block_size, stored.parallel) == (14, 8, 1)


def test_two_hashes_of_one_password_differ() -> None:
    """Salt: who sees the file does not see who shares a password."""
    assert str(PasswordHash.of(b"x")) != str(PasswordHash.of(b"x"))


def test_neither_the_hash_nor_the_password_is_shown() -> None:
    """A traceback or a debug line must not hold them."""
    assert repr(PasswordHash.of(b"secret")) == "PasswordHash(…)"


@pytest.mark.parametrize(
    "cost",
    ["ln=20,r=8,p=1", "ln=14,r=99,p=1", "ln=14,r=8,p=9", "ln=0,r=8,p=1", "ln=14,r=0,p=1", "ln=16,r=1,p=1"],
)
def test_a_hash_that_would_cost_too_much_is_refused_when_it_is_read(cost: str) -> None:
    """Not when somebody logs in."""
    text = str(PasswordHash.of(b"x")).replace("ln=14,r=8,p=1", cost)

    with pytest.raises(ValueError, match="not possible here"):
        PasswordHash.parse(text)


BAD_LINES = [
    ("bob", "users:3:1: this line has no ':'; write NAME:HASH, or '#' for a remark"),
    ("bob:secret", "users:3:5: this is not a password hash; 'fieldgate user passwd NAME' makes one"),
    (":x", "users:3:1: '' is not a user name; allowed: printable characters without ':', no '#' in front, "
     "no spaces at the ends"),
    (" bob:x", "users:3:1: ' bob' is not a user name; allowed: printable characters without ':', no '#' in front, "
     "no spaces at the ends"),
    ("amy:" + str(cheap_hash("y")), "users:3:1: the user 'amy' stands twice; in line 2 already"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=[line.partition("$")[0] for line, _ in BAD_LINES])
def test_a_bad_line_is_found_where_it_stands(line: str, message: str) -> None:
    """The message shows nothing of what may be a password."""
    users, problems = read_users(f"# users\n{users_text(amy='x')}{line}\n".encode(), "users")

    assert [str(problem) for problem in problems] == [message]
    assert set(users) <= {"amy"}


def test_bytes_that_are_no_text_are_found_where_they_stand() -> None:
    """A file that was half overwritten."""
    _, problems = read_users(b"\n\nab\xff\xfe:x\n", "users")

    assert [str(problem) for problem in problems] == ["users:3:3: this is not UTF-8"]


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake() -> None:
    """Editors write them."""
    text = users_text(amy="x").replace("\n", "\r\n")

    users, problems = read_users(b"\xef\xbb\xbf" + text.encode(), "users")

    assert problems == []
    assert users["amy"].password.verify(b"x")


def test_changes_keep_every_other_line() -> None:
    """Remarks and order are the user's."""
    text = f"# plant 7\n{users_text(amy='x')}\n# boilers\n{users_text(bob='y')}"
    fresh = cheap_hash("z")

    changed = with_user(text, "amy", fresh)

    assert changed.splitlines()[0] == "# plant 7"
    assert changed.splitlines()[1] == f"amy:{fresh}"
    assert changed.splitlines()[2:] == text.splitlines()[2:]
    assert without_user(changed, "amy").splitlines() == ["# plant 7", *text.splitlines()[2:]]
    assert with_user("a:b", "c", fresh) == f"a:b\nc:{fresh}\n"


@pytest.mark.parametrize("end", ["\x0c", "\x0b", "\x1e", "\x85", "\u2028"])
def test_what_only_looks_like_a_line_is_no_users_line(end: str) -> None:
    """Else a new password goes into a remark, and the old one stays good."""
    text = f"# was{end}amy:x\n{users_text(amy='x')}"
    fresh = cheap_hash("z")

    users, problems = read_users(with_user(text, "amy", fresh).encode(), "users")

    assert problems == []
    assert users["amy"].password.verify(b"z")
    assert without_user(text, "amy") == f"# was{end}amy:x\n"


@pytest.mark.parametrize("name", ["#", "a:b", "", " a", "a ", "a\nb", "a\x00", "\u202e", "x" * 257])
def test_a_name_that_no_line_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        check_user_name(name)


ACL = """\
all_users:
  - {allow: all, topic: "devices/%u/#"}
users:
  node-red:
    - {allow: subscribe, topic: "#"}
    - {deny: subscribe, topic: secret/#}
anonymous:
  - {allow: publish, topic: public/%c}
"""


def test_an_acl_says_who_may_do_what() -> None:
    rules, problems = read_acl(ACL.encode(), "acl.yaml")

    assert problems == []
    of_bob, of_node_red, of_nobody = (rules.about(user, "c1") for user in ("bob", "node-red", ""))
    assert publishing(of_bob, "devices/bob/x").is_allowed
    assert not publishing(of_bob, "devices/amy/x").is_allowed
    assert str(publishing(of_bob, "devices/bob/x").rule.where) == "acl.yaml:2:5"  # type: ignore[union-attr]
    assert subscribing(of_node_red, "#").is_allowed
    assert not subscribing(of_node_red, "secret/x").is_allowed
    assert publishing(of_node_red, "devices/node-red/x").is_allowed
    assert publishing(of_nobody, "public/c1").is_allowed
    assert not publishing(of_nobody, "devices//x").is_allowed


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "users:\n", "users: {amy: }\n"])
def test_an_empty_acl_allows_nothing(text: str) -> None:
    """CVE-2018-12550: an empty ACL file let everybody do everything."""
    rules, problems = read_acl(text.encode(), "acl.yaml")

    assert problems == []
    assert not publishing(rules.about("amy", "c"), "t").is_allowed


BAD_ACLS = [
    ("- x", "1:1: this is no ACL; allowed: anonymous, all_users, users"),
    ("everyone: []", "1:1: unknown key 'everyone'; allowed: anonymous, all_users, users"),
    ("user: {}", "1:1: unknown key 'user'; did you mean 'users'?"),
    ("users: [amy]", "1:8: users: this is not a mapping; write lines of 'name:' with a list of rules below"),
    ("users: {amy: x}", "1:14: amy: this is not a list; write lines of '- {allow: publish, topic: a/b}'"),
    ("users: {'a:b': []}", "1:9: 'a:b' is not a user name; allowed: printable characters without ':', no '#' in "
     "front, no spaces at the ends"),
    ("all_users: [x]", "1:13: this is no rule; write {allow: publish, topic: a/b}"),
    ("all_users: [{allow: all}]",
     "1:13: a rule has 'allow' or 'deny', and 'topic'; write {allow: publish, topic: a/b}"),
    ("all_users: [{allow: all, deny: all, topic: a}]",
     "1:13: a rule has 'allow' or 'deny', and 'topic'; write {allow: publish, topic: a/b}"),
    ("all_users: [{allow: read, topic: a}]", "1:21: allow: 'read' is not known; allowed: publish, subscribe, all"),
    ("all_users: [{allow: publsh, topic: a}]", "1:21: allow: 'publsh' is not known; did you mean 'publish'?"),
    ("all_users: [{allow: all, topics: a}]", "1:26: unknown key 'topics'; did you mean 'topic'?"),
    ("all_users: [{allow: all, topic: a#}]", "1:33: topic: 'a#' is not a topic filter; '+' stands alone between "
     "slashes, '#' stands alone at the end, such as site/+/boiler or site/#"),
    ("all_users: [{allow: all, topic: 1}]", "1:33: topic: 1 is not a text; put it in quotes"),
    ("all_users: [{allow: all, topic: $share/g/a}]", "1:33: topic: '$share/g/a' names a shared subscription; write "
     "the filter alone, it holds for both"),
    ("all_users: [{allow: all, topic: a/%d}]", "1:33: topic: 'a/%d' has '%d'; allowed: %u (user), %c (client id), %% "
     "(a plain %)"),
    ("anonymous: [{allow: all, topic: a/%u}]", "1:33: topic: 'a/%u' has '%u', but who is anonymous has no user name"),
    ("users: {amy: [}", "1:15: this is not YAML: expected the node content, but found '}'; while parsing a flow node "
     "that begins in line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD_ACLS, ids=[text for text, _ in BAD_ACLS])
def test_a_mistake_in_an_acl_is_found_where_it_stands(text: str, message: str) -> None:
    _, problems = read_acl(text.encode(), "acl.yaml")

    assert [str(problem) for problem in problems] == [f"acl.yaml:{message}"]
