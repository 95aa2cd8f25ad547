"""Diagrams: what they show, how they combine, what is drawn of them."""

from __future__ import annotations

import gc
import html.parser
import sys
import types

import numpy as np
import pytest

import lodestore as dj
from support import full


@pytest.fixture
def pipeline(schema):
    class Pipeline:
        other = dj.Schema("ana")

    @schema
    class Subject(dj.Manual):
        definition = "subject : int32\n---\nname : varchar(10)  # of <b> & c"

    @schema
    class Species(dj.Lookup):
        definition = "species : varchar(10)"

    @schema
    class Session(dj.Imported):
        definition = """
        -> Subject
        -> Subject.proj(observer='subject')
        session : int32
        ---
        -> [nullable] Species
        """

        class Trial(dj.Part):
            definition = "-> master\ntrial : int32"

    @schema
    class Stats(dj.Computed):
        definition = "-> Session\n---\nmean : float64"

    @Pipeline.other
    class Fit(dj.Manual):
        definition = "-> Subject\nfit : int32"

    for table in (Subject, Species, Session, Stats, Fit):
        setattr(Pipeline, table.__name__, table)
    return Pipeline


def shown(diagram):
    return " ".join(name.replace(quote, "") for name in diagram.topological_sort() for quote in full("a.b")[0])


def test_sources(pipeline, schema):
    assert shown(dj.Diagram(pipeline.Subject)) == "lab.subject"
    assert shown(dj.Diagram(pipeline.Subject())) == "lab.subject"
    assert shown(dj.Diagram(pipeline.Subject & "subject = 1")) == "lab.subject"
    assert shown(dj.Diagram(pipeline.Session.Trial)) == "lab._session__trial"
    whole = dj.Diagram(schema)
    assert shown(whole) == "lab.#species lab.subject lab._session lab._session__trial lab.__stats"
    assert shown(dj.Diagram(types.SimpleNamespace(schema=schema))) == shown(dj.Diagram(whole)) == shown(whole)
    for wrong in (5, "lab", pipeline.Subject * pipeline.Species, dj.Schema()):
        with pytest.raises(dj.DataJointError):
            dj.Diagram(wrong)


def test_operators(pipeline, schema):
    D, p = dj.Diagram, pipeline
    whole, subject = D(schema), D(p.Subject)
    assert shown(subject + 1) == "lab.subject ana.fit lab._session"
    assert shown(subject + 2) == "lab.subject ana.fit lab._session lab._session__trial lab.__stats"
    assert shown(subject + 0) == "lab.subject" and shown(subject + np.int64(1)) == shown(subject + True)
    assert shown(D(p.Stats) - 1) == "lab._session lab.__stats"
    assert shown(subject + p.Stats) == shown(subject + p.Stats()) == shown(subject + D(p.Stats))
    assert shown(subject + p.Stats) == "lab.subject lab.__stats"
    assert shown(whole - p.Stats) == shown(whole - D(p.Stats))
    assert shown(whole - p.Stats) == "lab.#species lab.subject lab._session lab._session__trial"
    assert shown(whole * (D(p.Stats) + D(p.Fit))) == "lab.__stats"
    assert shown(D.from_sequence([p.Subject, D(p.Fit), pipeline.other])) == "lab.subject ana.fit"
    assert shown(D(p.Session).add_parts()) == "lab._session lab._session__trial"
    assert shown(subject) == "lab.subject", "operators leave their operands alone"


def test_operands_that_make_no_sense(pipeline, schema):
    whole, subject = dj.Diagram(schema), dj.Diagram(pipeline.Subject)
    with pytest.raises(KeyError, match="lab.*__stats"):
        subject - pipeline.Stats
    assert shown(subject - dj.Diagram(pipeline.Stats)) == "lab.subject", "a difference of sets is never an error"
    for operand in (schema, "lab", 1.0, None):
        with pytest.raises(TypeError, match="number of levels, a table or a diagram"):
            whole + operand
        with pytest.raises(TypeError, match="number of levels, a table or a diagram"):
            whole - operand
    for operand in (pipeline.Stats, 2, schema):
        with pytest.raises(AttributeError, match="with a diagram"):
            whole * operand
    with pytest.raises(TypeError):
        1 + whole
    with pytest.raises(TypeError, match="empty"):
        dj.Diagram.from_sequence([])


def test_the_graph(pipeline, schema):
    diagram = dj.Diagram(pipeline.Subject)
    names = [t.full_table_name for t in (pipeline.Species, pipeline.Subject, pipeline.Fit, pipeline.Session)]
    species, subject, fit, session = names
    assert len(diagram) == 6 == len(diagram.nodes) and diagram.nodes_to_show == {subject}
    assert subject in diagram and "nothing" not in diagram and diagram
    assert diagram.nodes(data=True)[1] == (subject, {"primary_key": {"subject"}})
    assert diagram.nodes[session] == {"primary_key": {"subject", "observer", "session"}}
    assert diagram.in_edges(session) == [(species, session), (subject, session), (subject, session)]
    assert [edge[2] for edge in diagram.edges if edge[1] == session] == [("species",), ("observer",), ("subject",)]
    renamed = {"primary": True, "attr_map": {"observer": "subject"}, "aliased": True, "multi": True}
    assert diagram.in_edges(session, data=True)[1] == (subject, session, renamed)
    assert diagram.in_edges(session, data=True)[0][2]["primary"] is False
    assert [child for _, child in diagram.out_edges(subject)] == [fit, session, session]
    tables = list(dj.Diagram(schema))
    assert all(isinstance(table, dj.FreeTable) for table in tables)
    assert [t.full_table_name for t in tables][-1] == pipeline.Stats.full_table_name
    assert [t.full_table_name for t in reversed(dj.Diagram(schema))] == [t.full_table_name for t in tables][::-1]


def test_networkx(pipeline, schema):
    networkx = pytest.importorskip("networkx")
    diagram = dj.Diagram(schema)
    graph = diagram.to_networkx()
    assert isinstance(graph, networkx.MultiDiGraph)
    assert sorted(graph.edges) == sorted(diagram.edges)
    assert sorted(graph.edges(data="aliased")) == sorted((p, c, d["aliased"]) for p, c, d in diagram.edges(data=True))
    assert dict(graph.nodes(data=True)) == dict(diagram.nodes(data=True))


def test_mermaid(pipeline, schema):
    gc.collect()  # classes of the same tables that other tests' modules have left
    text = (dj.Diagram(schema)).make_mermaid()
    head, body = text.split("classDef collapsed fill:#EDEEF0,stroke:#808890,color:#404040\n")
    assert head.startswith("flowchart LR\n\n    classDef manual fill:#E8F0E9,stroke:#3E7A52,color:#28513A\n")
    assert (
        body
        == f"""
    subgraph lab["{__name__}"]
        subgraph entity_Session[" "]
            Session([Session]):::imported
            Session_Trial[Trial]:::part
        end
        Species[Species]:::lookup
        Subject[Subject]:::manual
        Stats([Stats]):::computed
    end

    Species --> Session
    Subject --> Session
    Subject --> Session
    Session --> Session_Trial
    Session --> Stats
    linkStyle 0 stroke:#171C39,stroke-width:1px
    linkStyle 1 stroke:#C77D3A,stroke-width:1px
    linkStyle 2 stroke:#171C39,stroke-width:1px
    linkStyle 3 stroke:#171C39,stroke-width:1px
    linkStyle 4 stroke:#171C39,stroke-width:2px"""
    )
    # Two schemas of one module cannot both bear its name.
    folded = (dj.Diagram(schema).collapse() + pipeline.Fit).make_mermaid()
    assert 'lab[["(5 tables)"]]:::collapsed' in folded and "lab --> Fit" in folded
    folded = dj.Diagram(pipeline.other).collapse().make_mermaid()
    assert f'{__name__.replace(".", "_")}[["(1 table)"]]:::collapsed' in folded


def test_direction_and_theme_are_settings(pipeline, schema):
    diagram = dj.Diagram(schema)
    auto, light = diagram.svg_string(), diagram.make_png().getvalue()
    assert "prefers-color-scheme: dark" in auto and "bgcolor" not in diagram.make_dot().to_string()
    with dj.config.override(display__diagram_direction="TB", display__diagram_theme="dark"):
        assert diagram.make_mermaid().startswith("flowchart TB\n")
        assert "rankdir=TB" in diagram.make_dot().to_string()
        assert 'bgcolor="#161A21"' in diagram.make_dot().to_string()
        assert "prefers-color-scheme" not in diagram.svg_string() and "#161A21" in diagram.svg_string()
        dark = diagram.make_image()
        assert dark.shape[0] > dark.shape[1] / 2 and (dark[0, 0, :3] * 255).round().tolist() == [0x16, 0x1A, 0x21]
    assert diagram.make_png().getvalue() == light
    assert "bgcolor" in diagram.make_dot(theme="dark").to_string()
    with pytest.raises(ValueError, match="auto, light and dark"):
        diagram.svg_string(theme="pink")


def test_dot(pipeline, schema):
    lines = dj.Diagram(schema).make_dot().to_string().splitlines()

    def line(start):
        return next(line for line in lines if line.strip().startswith(start))

    assert "label=<<u>Subject</u>>, shape=box" in line('"Subject" [') and "rounded" in line('"Subject" [')
    assert 'tooltip="subject' in line('"Subject" [')
    assert "shape=ellipse" in line('"Session" [') and 'label="Stats"' in line('"Stats" [')
    assert "label=<<u>Trial</u>>" in line('"Session_Trial" [')
    assert "arrowhead=none, style=dashed, penwidth=0.75" in line('"Species" ->')
    assert 'style=solid, penwidth=2, color="#171C399E"' in line('"Session" -> "Stats"')
    assert 'color="#C77D3A9E", tooltip="observer ← subject"' in line('"Subject" -> "Session"')


def test_pictures(pipeline, schema):
    diagram = dj.Diagram(schema)
    png = diagram.make_png()
    assert png.tell() == 0 and png.read(8) == b"\x89PNG\r\n\x1a\n"
    image = diagram.make_image()
    assert image.dtype == np.float32 and image.shape[2] == 4 and image.min() >= 0 and image.max() == 1
    assert (image[..., 3] == 1).all() and (image[0, 0] == 1).all()
    assert image.std() > 0.01, "not a blank sheet"


def test_drawing_needs_matplotlib(pipeline, schema, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="needs matplotlib; `save`"):
        dj.Diagram(schema).draw()
    calls = []
    pyplot = types.SimpleNamespace(
        imshow=lambda image: calls.append(image.shape),
        gca=lambda: types.SimpleNamespace(axis=calls.append),
        show=lambda: calls.append("show"),
    )
    monkeypatch.setitem(sys.modules, "matplotlib", types.SimpleNamespace(pyplot=pyplot))
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    dj.Diagram(schema).draw()
    assert calls == [dj.Diagram(schema).make_image().shape, "off", "show"]


def test_save(pipeline, schema, fresh):
    diagram = dj.Diagram(schema)
    for name, start in {
        "a.png": b"\x89PNG",
        "A.PNG": b"\x89PNG",
        "a.svg": b"<svg",
        "a.mmd": b"flowchart",
        "a.Mermaid": b"flowchart",
        "a.dot": b"digraph",
    }.items():
        diagram.save(name)
        assert (fresh / name).read_bytes().startswith(start)
    diagram.save(fresh / "a.txt", format="PNG")
    assert (fresh / "a.txt").read_bytes() == (fresh / "a.png").read_bytes()
    with pytest.raises(dj.DataJointError, match="png, svg, mermaid and dot"):
        diagram.save("a.gif")
    with pytest.raises(dj.DataJointError):
        diagram.save("a.png", format="pdf")
    with pytest.raises(dj.DataJointError):
        diagram.save("a")


def test_html_links_boxes_to_definitions(pipeline, schema):
    class Page(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.links, self.anchors, self.text = [], [], []

        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            if tag == "a":
                self.links.append(attributes["href"])
            if "id" in attributes:
                self.anchors.append(attributes["id"])

        def handle_data(self, data):
            self.text.append(data)

    diagram = dj.Diagram(schema)
    page = Page()
    page.feed(diagram._repr_html_())
    assert len(page.links) == 5 and sorted(page.links) == sorted(f"#{anchor}" for anchor in page.anchors)
    assert pipeline.Subject().describe().strip() in "".join(page.text)
    assert "of <b> & c" not in diagram._repr_html_() and "of &lt;b&gt; &amp; c" in diagram._repr_html_()
    again = Page()
    again.feed(diagram._repr_html_())
    assert not set(again.anchors) & set(page.anchors), "a notebook may show a diagram twice"
    assert diagram._repr_svg_() == diagram.svg_string()


def test_what_is_not_offered_says_so(pipeline, schema):
    for call in (
        lambda: dj.Diagram.cascade(pipeline.Subject()),
        lambda: dj.Diagram.trace(pipeline.Stats()),
        lambda: dj.Diagram(schema).restrict(pipeline.Subject()),
        lambda: dj.Diagram(schema).prune(),
        lambda: dj.Diagram(schema).counts(),
    ):
        with pytest.raises(NotImplementedError, match="not offered yet"):
            call()
