//! What is shown, and how it is written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use insta::assert_snapshot;

use super::*;

fn table(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

/// A foreign key; `new<old` renames, `!` marks a secondary one, `*` the child's whole key.
fn key(child: &str, parent: &str, columns: &str) -> ForeignKey {
    let attr_map: Vec<(String, String)> = columns
        .trim_end_matches(['!', '*'])
        .split(',')
        .map(|c| c.split_once('<').unwrap_or((c, c)))
        .map(|(child, parent)| (child.to_owned(), parent.to_owned()))
        .collect();
    ForeignKey {
        child: table(child),
        parent: table(parent),
        aliased: attr_map.iter().any(|(c, p)| c != p),
        attr_map,
        primary: !columns.ends_with('!'),
        multi: !columns.ends_with('*'),
        nullable: false,
    }
}

fn graph() -> Diagram {
    let tables = [
        ("lab.subject", "subject_id"),
        ("lab.#species", "species"),
        ("lab._session", "subject_id,species,session"),
        ("lab._session__trial", "subject_id,species,session,trial"),
        ("lab.__stats", "subject_id,species,session"),
        ("ana.__fit", "subject_id,species,session,trial"),
        ("ana.odd__a__b", "x"),
    ]
    .map(|(name, key)| (table(name), key.split(',').map(str::to_owned).collect()));
    let keys = vec![
        key("lab._session", "lab.subject", "subject_id"),
        key("lab._session", "lab.#species", "species"),
        key("lab._session", "lab.subject", "witness<subject_id!"),
        key(
            "lab._session__trial",
            "lab._session",
            "subject_id,species,session",
        ),
        key("lab.__stats", "lab._session", "subject_id,species,session*"),
        key(
            "ana.__fit",
            "lab._session__trial",
            "subject_id,species,session,trial*",
        ),
        key("ana.__fit", "lab.__stats", "subject_id,species,session"),
    ];
    Diagram::from_parts(tables.into(), keys)
}

fn names(diagram: &Diagram) -> String {
    diagram
        .tables()
        .map(TableName::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn levels_follow_foreign_keys_down_and_up() {
    let subject = graph().show([&table("lab.subject")]).unwrap();
    assert_eq!(names(&subject.clone().down(1)), "lab.subject lab._session");
    assert_eq!(
        names(&subject.clone().down(2)),
        "lab.subject lab._session lab._session__trial lab.__stats"
    );
    assert_eq!(
        names(&subject.clone().down(99)),
        names(&subject.clone().down(3))
    );
    assert_eq!(
        names(&graph().show([&table("lab.__stats")]).unwrap().up(1)),
        "lab._session lab.__stats"
    );
    assert_eq!(
        names(&subject.down(1).add_parts()),
        "lab.subject lab._session lab._session__trial"
    );
}

#[test]
fn diagrams_are_sets_of_tables() {
    let lab = graph().show_schema("lab");
    let some = graph()
        .show([&table("lab.subject"), &table("ana.__fit")])
        .unwrap();
    assert_eq!(names(&lab.intersection(&some)), "lab.subject");
    assert_eq!(names(&some.difference(&lab)), "ana.__fit");
    assert_eq!(lab.union(&some).unwrap().tables().count(), 6);
    let error = graph().show([&table("lab.subjct")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingTable);
    assert_snapshot!(error, @r"
    `lab.subjct` is not in the diagram's graph
    Did you mean `lab.subject`?
    ");
}

#[test]
fn mermaid_is_written_as_the_reference_writes_it() {
    let style = Style {
        group: Some(&|_| Some("__main__".into())),
        ..Style::default()
    };
    assert_snapshot!(graph().show_schema("lab").to_mermaid(&style), @r#"
    flowchart LR

        classDef manual fill:#E8F0E9,stroke:#3E7A52,color:#28513A
        classDef lookup fill:#F0F0F1,stroke:#808285,color:#5A5C5F
        classDef computed fill:#FFEDE5,stroke:#FF5113,color:#B23200
        classDef imported fill:#E0F4FC,stroke:#00A0DF,color:#00537A
        classDef part fill:#FFFFFF,stroke:#B9BBBE,color:#55585C
        classDef other fill:#FFFDE7,stroke:#C9BC5B,color:#6B6420
        classDef collapsed fill:#EDEEF0,stroke:#808890,color:#404040

        subgraph lab["__main__"]
            subgraph entity_Session[" "]
                Session([Session]):::imported
                Session_Trial[Trial]:::part
            end
            Subject[Subject]:::manual
            Species[Species]:::lookup
            Stats([Stats]):::computed
        end

        Subject --> Session
        Subject --> Session
        Species --> Session
        Session --> Session_Trial
        Session --> Stats
        linkStyle 0 stroke:#171C39,stroke-width:1px
        linkStyle 1 stroke:#C77D3A,stroke-width:1px
        linkStyle 2 stroke:#171C39,stroke-width:1px
        linkStyle 3 stroke:#171C39,stroke-width:1px
        linkStyle 4 stroke:#171C39,stroke-width:2px
    "#);
}

#[test]
fn a_part_without_its_master_bears_both_names() {
    let part = graph()
        .show([&table("lab._session__trial")])
        .unwrap()
        .to_mermaid(&Style::default());
    assert!(
        part.contains("        Session_Trial[Session.Trial]:::part\n"),
        "{part}"
    );
}

#[test]
fn folded_schemas_are_one_box_and_bundles_are_thick() {
    let all = graph()
        .show_schema("lab")
        .collapse()
        .union(&graph().show_schema("ana").collapse())
        .unwrap();
    let text = all.to_mermaid(&Style::default());
    assert_snapshot!(text.split_once("color:#404040\n").unwrap().1, @r#"
    subgraph group_lab["lab"]
        lab[["(5 tables)"]]:::collapsed
    end
    subgraph group_ana["ana"]
        ana[["(2 tables)"]]:::collapsed
    end

    lab --> ana
    linkStyle 0 stroke:#171C39,stroke-width:2px
    "#);
    // Unfolded beats folded.
    let mixed = graph()
        .show_schema("lab")
        .collapse()
        .union(&graph().show([&table("lab.__stats")]).unwrap())
        .unwrap();
    let text = mixed.to_mermaid(&Style::default());
    assert!(
        text.contains("lab[[\"(4 tables)\"]]:::collapsed") && text.contains("Stats([Stats])"),
        "{text}"
    );
}

#[test]
fn tables_of_one_name_in_two_schemas_are_told_apart() {
    let tables = ["a.subject", "b.subject"].map(|n| (table(n), vec!["id".to_owned()]));
    let keys = vec![key("b.subject", "a.subject", "id*")];
    let text = Diagram::from_parts(tables.into(), keys)
        .show_schema("a")
        .show_schema("b")
        .to_mermaid(&Style::default());
    assert!(
        text.contains("a_Subject[a.Subject]:::manual") && text.contains("a_Subject --> b_Subject"),
        "{text}"
    );
}

#[test]
fn dot_says_tier_key_and_kind_of_line() {
    let style = Style {
        tooltip: Some(&|_| Some("say \"id\"\n---".into())),
        theme: Theme::Dark,
        ..Style::default()
    };
    assert_snapshot!(graph().show_schema("lab").to_dot(&style), @r##"
    digraph pipeline {
      rankdir=LR;
      bgcolor="#161A21";
      node [fontname="Helvetica,Arial,sans-serif", fontsize=12, style=filled];
      "Subject" [label=<<u>Subject</u>>, shape=box, style="rounded,filled", fillcolor="#16281F", color="#6BBF94", fontcolor="#BCE6CF", tooltip="say \"id\"\n---"];
      "Species" [label=<<u>Species</u>>, shape=box, style="rounded,filled", fillcolor="#242832", color="#9DA0A4", fontcolor="#C9CFD9", tooltip="say \"id\"\n---"];
      "Session" [label=<<u>Session</u>>, shape=ellipse, fillcolor="#0F2433", color="#33B8E8", fontcolor="#BEE7F9", tooltip="say \"id\"\n---"];
      "Session_Trial" [label=<<u>Trial</u>>, shape=box, height=0.3, fontsize=10, fillcolor="#1E232C", color="#8F959D", fontcolor="#C8CED8", tooltip="say \"id\"\n---"];
      "Stats" [label="Stats", shape=ellipse, fillcolor="#331B12", color="#FF7A47", fontcolor="#FFC7AE", tooltip="say \"id\"\n---"];
      "Subject" -> "Session" [arrowhead=none, style=solid, penwidth=0.75, color="#C9CFD9C0"];
      "Subject" -> "Session" [arrowhead=none, style=dashed, penwidth=0.75, color="#C77D3AC0", tooltip="witness ← subject_id"];
      "Species" -> "Session" [arrowhead=none, style=solid, penwidth=0.75, color="#C9CFD9C0"];
      "Session" -> "Session_Trial" [arrowhead=none, style=solid, penwidth=0.75, color="#C9CFD9C0"];
      "Session" -> "Stats" [arrowhead=none, style=solid, penwidth=2, color="#C9CFD9C0"];
    }
    "##);
}

#[test]
fn svg_escapes_text_and_follows_the_theme() {
    let style = Style {
        name: Some(&|_| Some("<&\"'>".into())),
        tooltip: Some(&|_| Some("a\0 < b".into())),
        ..Style::default()
    };
    let one = graph().show([&table("lab.subject")]).unwrap();
    assert_snapshot!(one.to_svg(&style), @r##"
    <svg xmlns="http://www.w3.org/2000/svg" class="lode-diagram" width="82" height="54" viewBox="0 0 82 54" role="img" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif" font-size="13">
    <title>Pipeline</title>
    <style>@media (prefers-color-scheme: dark) {
    .lode-diagram .paper { fill: #161A21 } .lode-diagram .line { stroke: #C9CFD9; stroke-opacity: 0.75 }
    .lode-diagram .line.renamed { stroke: #C77D3A }
    .lode-diagram .manual rect { fill: #16281F; stroke: #6BBF94 } .lode-diagram .manual text { fill: #BCE6CF }
    }</style>
    <rect class="paper" width="100%" height="100%" fill="none"/>
    <g class="manual"><title>a� &lt; b</title>
    <rect x="12" y="12" width="58" height="30" rx="7" fill="#E8F0E9" stroke="#3E7A52" stroke-width="1.2"/>
    <text x="41" y="31.6" font-size="13" text-anchor="middle" fill="#28513A" text-decoration="underline">&lt;&amp;&quot;&#39;&gt;</text>
    </g>
    </svg>
    "##);
    let dark = one.to_svg(&Style {
        theme: Theme::Dark,
        ..Style::default()
    });
    assert!(!dark.contains("@media") && dark.contains("#161A21"));
    assert!(
        !one.to_svg(&Style {
            theme: Theme::Light,
            ..Style::default()
        })
        .contains("@media")
    );
}

#[test]
fn a_click_leads_to_the_definition_below_the_picture() {
    let style = Style {
        tooltip: Some(&|_| Some("id : <blob@> # a & b\n".into())),
        ..Style::default()
    };
    let shown = graph()
        .show([&table("lab.subject"), &table("ana.__fit")])
        .unwrap();
    let html = shown
        .union(&graph().show_schema("ana").collapse())
        .unwrap()
        .to_html(&style, "x\"");
    assert!(html.contains("<a href=\"#x&quot;0\"><g class=\"manual\">"));
    let below: Vec<&str> = html
        .lines()
        .filter(|l| l.starts_with("<details>"))
        .collect();
    assert_snapshot!(below.join("\n"), @r#"
    <details><summary>lab.subject</summary><pre id="x&quot;0">id : &lt;blob@&gt; # a &amp; b</pre></details>
    <details><summary>ana.__fit</summary><pre id="x&quot;1">id : &lt;blob@&gt; # a &amp; b</pre></details>
    "#);
    assert_eq!(
        html.matches("<a href").count(),
        2,
        "a folded schema has no definition: {html}"
    );
}

#[test]
fn pixels_have_paper_boxes_and_letters() {
    let one = graph().show([&table("lab.subject")]).unwrap();
    let draw = |theme, name: &str| {
        let style = Style {
            theme,
            name: Some(&|_| Some(name.to_owned())),
            ..Style::default()
        };
        one.to_pixels(&style).unwrap()
    };
    let at = |image: &Array3<u8>, y: usize, x: usize| [0, 1, 2, 3].map(|c| image[[y, x, c]]);
    let light = draw(Theme::Light, "Subject");
    let (height, _, _) = light.dim();
    assert_eq!(at(&light, 0, 0), [255; 4]);
    assert_eq!(at(&light, height / 2, 32), [0xE8, 0xF0, 0xE9, 255]);
    assert_eq!(draw(Theme::Auto, "Subject"), light);
    let dark = draw(Theme::Dark, "Subject");
    assert_eq!(at(&dark, 0, 0), [0x16, 0x1A, 0x21, 255]);
    // Letters are drawn on a machine without fonts too: nothing is read but the font within.
    let ink = |image: &Array3<u8>| {
        image
            .rows()
            .into_iter()
            .filter(|pixel| pixel.to_vec() == [0x28, 0x51, 0x3A, 255])
            .count()
    };
    let (letters, blank) = (ink(&light), ink(&draw(Theme::Light, "       ")));
    assert!(letters > blank + 100, "{letters} of {blank}");

    let png = one.to_png(&Style::default()).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(
        (size(16), size(20)),
        (192, 108),
        "twice the size of the SVG"
    );
}

#[test]
fn a_bundle_with_a_table_keeps_the_look_of_its_first_key() {
    let folded = graph().show_schema("lab").collapse();
    let text = folded
        .union(&graph().show([&table("lab.subject")]).unwrap())
        .unwrap()
        .to_mermaid(&Style::default());
    assert!(
        text.ends_with("    Subject --> lab\n    linkStyle 0 stroke:#171C39,stroke-width:1px"),
        "{text}"
    );
}

#[test]
fn an_empty_diagram_can_be_drawn() {
    assert!(graph().to_png(&Style::default()).is_ok());
    for text in [
        graph().to_svg(&Style::default()),
        graph().to_dot(&Style::default()),
        graph().to_mermaid(&Style::default()),
    ] {
        assert!(!text.is_empty());
    }
}

#[test]
fn settings_are_read_by_name() {
    assert_eq!("td".parse::<Direction>().unwrap(), Direction::TopDown);
    assert_eq!("Dark".parse::<Theme>().unwrap(), Theme::Dark);
    assert!("x".parse::<Direction>().is_err() && "x".parse::<Theme>().is_err());
}

/// Writes pictures to look at: `LODE_PICTURES=dir cargo test pictures`.
#[test]
fn pictures() {
    let Some(dir) = std::env::var_os("LODE_PICTURES") else {
        return;
    };
    let dir = std::path::Path::new(&dir);
    let all = graph().show_schema("lab").show_schema("ana");
    let style = Style {
        theme: Theme::Light,
        ..Style::default()
    };
    std::fs::write(dir.join("all.svg"), all.to_svg(&style)).unwrap();
    std::fs::write(dir.join("all.png"), all.to_png(&style).unwrap()).unwrap();
    std::fs::write(
        dir.join("lab.svg"),
        graph().show_schema("lab").to_svg(&style),
    )
    .unwrap();
    let style = Style {
        theme: Theme::Dark,
        direction: Direction::TopDown,
        ..Style::default()
    };
    std::fs::write(dir.join("dark.svg"), all.to_svg(&style)).unwrap();
    std::fs::write(dir.join("dark.png"), all.to_png(&style).unwrap()).unwrap();
    std::fs::write(dir.join("fold.svg"), all.clone().collapse().to_svg(&style)).unwrap();
    std::fs::write(
        dir.join("fold.png"),
        all.clone().collapse().to_png(&style).unwrap(),
    )
    .unwrap();
    std::fs::write(
        dir.join("big.png"),
        big().to_png(&Style::default()).unwrap(),
    )
    .unwrap();
    std::fs::write(
        dir.join("big.svg"),
        big().to_svg(&Style {
            theme: Theme::Light,
            ..Style::default()
        }),
    )
    .unwrap();
}

/// A pipeline of the size that laboratories have.
fn big() -> Diagram {
    let tables: [(&str, &[&str]); 27] = [
        ("#species", &[]),
        ("lab", &[]),
        ("person", &[]),
        ("rig", &["lab"]),
        ("#method", &[]),
        ("#model", &[]),
        ("#stim", &[]),
        ("subject", &["#species", "lab"]),
        ("weight", &["subject"]),
        ("session", &["subject", "person"]),
        ("note", &["session", "person"]),
        ("scan", &["session", "rig"]),
        ("scan__plane", &["scan"]),
        ("trial", &["session", "#stim"]),
        ("__motion", &["scan", "#method"]),
        ("__motion__shift", &["__motion", "scan__plane"]),
        ("_sync", &["trial", "scan"]),
        ("_pupil", &["_sync"]),
        ("__segment", &["__motion", "#model"]),
        ("__segment__mask", &["__segment"]),
        ("__trace_set", &["__segment"]),
        ("__trace_set__trace", &["__trace_set", "__segment__mask"]),
        ("__response", &["_sync", "__trace_set"]),
        ("__response__trial", &["__response", "trial"]),
        ("__tuning", &["__response"]),
        ("__tuning__curve", &["__tuning", "__trace_set__trace"]),
        ("__state", &["__tuning", "_pupil"]),
    ];
    let name = |n: &str| format!("lab.{n}");
    let mut keys = Vec::new();
    for (child, parents) in tables {
        for parent in parents {
            let columns = if parent.starts_with('#') { "id!" } else { "id" };
            keys.push(key(&name(child), &name(parent), columns));
        }
    }
    let tables = tables
        .iter()
        .map(|(n, _)| (table(&name(n)), vec!["id".to_owned()]))
        .collect();
    Diagram::from_parts(tables, keys).show_schema("lab")
}
