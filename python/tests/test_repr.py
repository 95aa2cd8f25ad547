"""How things look: previews as text and as HTML, headings, descriptions, the small reprs."""

from __future__ import annotations

import html.parser

import pytest

import lodestore as dj
from support import full


def test_the_text_preview_of_a_table(lab):
    assert (
        repr(lab.Subject())
        == lab.Subject.preview()
        == (
            "*subject_id    name       sex      weight    \n"
            "+------------+ +--------+ +------+ +--------+\n"
            "1              Ada        F        20.5      \n"
            "2              Bob        M        30.0      \n"
            "3              O'Hara     None     None      \n"
            " (Total: 3)\n"
        )
    )
    assert repr(dj.FreeTable("lab.subject")) == f"FreeTable({full('lab.subject')})\n" + repr(lab.Subject())
    assert repr(lab.Subject & "subject_id > 5").splitlines()[2:] == [" (Total: 0)"]
    assert repr(dj.U().aggr(lab.Subject, n="count(*)")).splitlines()[2].split() == ["3"]


def test_limits_of_the_preview(lab):
    text = lab.Subject.preview(limit=2)
    assert "Bob" in text and "O'Hara" not in text and "   ...\n (Total: 3)" in text
    assert "O'Hara" in lab.Subject.preview(limit=3) and "..." not in lab.Subject.preview(limit=3)
    assert lab.Subject.preview(width=4).splitlines()[2:4] == [
        "1    Ada  F    20.5",
        "2    Bob  M    30.0",
    ]
    with dj.config.override(display__limit=1, display__width=6, display__show_tuple_count=False):
        assert lab.Subject.preview().splitlines()[1:] == [
            "+----+ +----+ +----+ +----+",
            "1      Ada    F      20.5  ",
            "   ...",
        ]
        assert "Total" not in lab.Subject()._repr_html_()
    for wrong in ({"limit": -1}, {"width": -1}, {"limit": "a"}):
        with pytest.raises(dj.DataJointError, match=next(iter(wrong))):
            lab.Subject.preview(**wrong)


def test_the_preview_is_by_key_unless_ordered(lab):
    lab.Subject.insert1({"subject_id": -1, "name": "First"})
    assert "First" in lab.Subject.preview(limit=1)
    assert "Bob" in repr((lab.Subject & "weight > 0" & dj.Top(1, "weight DESC")))


def test_large_values_are_not_fetched_for_a_preview(kinds, monkeypatch):
    row = repr(kinds.proj("doc", "raw", "value", "array") & "id = 1").splitlines()[2]
    assert row.split() == ["1", "json", "bytes", "<blob>", "<npy>"]
    assert "<td>&lt;npy&gt;</td>" in kinds()._repr_html_()


def test_line_ends_and_escapes_do_not_break_the_preview(lab):
    lab.Subject.insert1({"subject_id": 4, "name": "a\nb\tc\x1b[31m"})
    line = repr(lab.Subject & "subject_id = 4").splitlines()
    assert len(line) == 4 and "a b c [31m" in line[2]


class Parsed(html.parser.HTMLParser):
    """The tags of a text, and what stands between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_html_preview(lab):
    page = Parsed(lab.Subject()._repr_html_())
    assert page.tags.count("th") == 4 and page.tags.count("tr") == 4 and page.tags.count("td") == 12
    assert {
        "subject_id",
        "weight",
        "Ada",
        "20.5",
        "None",
        "animals",
        "Total: 3",
    } <= set(page.texts)
    assert page.titles == ["unique id", "", "", "grams"]
    assert 'id="primary"' in lab.Subject()._repr_html_() and "..." not in page.texts
    with dj.config.override(display__limit=2):
        assert "..." in Parsed(lab.Subject()._repr_html_()).texts


def test_html_escapes_everything_that_comes_from_the_data(schema):
    value = """<script>alert("1")</script> & 'x' <img src=x>"""

    @schema
    class Evil(dj.Manual):
        definition = """
        # <b>table</b> & "more"
        a : int32  # <i onclick='x'>attribute</i> "quoted"
        ---
        s : varchar(200)
        """

    Evil.insert1({"a": 1, "s": value})
    for expression in (Evil(), Evil.proj(x="s"), Evil.proj(..., x="'<b>'")):
        page = Parsed(expression._repr_html_())
        assert not {"script", "img", "b1", "i"} & set(page.tags)
        assert value in page.texts
    page = Parsed(Evil()._repr_html_())
    assert page.tags.count("b") == 1 and '<b>table</b> & "more"' in page.texts  # our own, around the comment
    assert page.titles[0] == """<i onclick='x'>attribute</i> "quoted\""""


def test_unbound_tables_can_be_shown():
    class Unbound(dj.Manual):
        definition = """
        a : int32
        """

    assert repr(Unbound()) == "Unbound(not bound to a schema)" and Unbound()._repr_html_() is None
    assert Unbound.full_table_name is None
    with pytest.raises(dj.DataJointError, match="Unbound is not bound"):
        Unbound.to_dicts()


def test_describe_gives_a_definition_that_declares_the_same_table(lab, caplog):
    Subject, Rig, Session = lab.Subject, lab.Rig, lab.Session  # noqa: F841 - names for the descriptions
    texts = {table: table.describe() for table in (Subject, Rig, Session, Session.Trial)}
    assert texts[Session] == (
        "-> Subject\n"
        "session_no           : int32                        \n"
        "---\n"
        "session_date         : date                         \n"
        "-> [nullable] Rig\n"
        'notes=""             : varchar(255)                 \n'
    )
    assert texts[Session.Trial].startswith("-> Session\n")
    assert texts[Subject].startswith("# animals\n") and "enum('M','F')" in texts[Subject]
    again = dj.Schema("again", context={"Subject": Subject, "Rig": Rig, "Session": Session})
    for table, text in texts.items():
        twin = again(type(table.__name__, (dj.Manual,), {"definition": text}))
        assert twin.describe() == text
        assert twin.heading.names == table.heading.names and twin.primary_key == table.primary_key
    with caplog.at_level("INFO", "lodestore"):
        assert Subject.describe(printout=True) == texts[Subject]
    assert "unique id" in caplog.text


def test_small_reprs(lab):
    assert repr(dj.U("a", "b")) == "U('a', 'b')" and repr(dj.Not("a")) == "Not('a')"
    assert repr(dj.Top(2, "a", 1)) == "Top(limit=2, order_by=['a'], offset=1)"
    assert repr(lab.schema) == "Schema `lab`\n"
    assert "subject_id" in repr(lab.Subject.heading) and "# unique id" in repr(lab.Subject.heading)
