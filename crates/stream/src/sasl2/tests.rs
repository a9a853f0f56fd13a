//! Tests of the elements of SASL2, most of them with the examples of the specifications.

#![allow(clippy::unwrap_used)]

use super::*;

const ID: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

fn read(xml: &str) -> Result<Authenticate, Condition> {
    Authenticate::read(&Stanza::parse(xml.to_owned()).unwrap())
}

/// Returns an `<authenticate/>` with these children.
fn with(children: &str) -> Result<Authenticate, Condition> {
    read(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>{children}</authenticate>"
    ))
}

#[test]
fn the_requests_of_the_specifications_are_read() {
    // XEP-0388, 2.3.
    let read = read(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1-PLUS'><initial-response>\
         cD10bHMtZXhwb3J0ZXIsLG49dXNlcixyPTEyQzRDRDVDLUUzOEUtNEE5OC04RjZELTE1QzM4RjUxQ0NDNg==\
         </initial-response><user-agent id='{ID}'><software>AwesomeXMPP</software>\
         <device>Kiva's Phone</device></user-agent></authenticate>"
    ))
    .unwrap();
    assert_eq!(read.mechanism, "SCRAM-SHA-1-PLUS");
    assert_eq!(
        read.initial_response.unwrap(),
        b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6"
    );
    let user_agent = read.user_agent.unwrap();
    assert_eq!(user_agent.id.unwrap().to_string(), ID);
    assert_eq!(user_agent.software.as_deref(), Some("AwesomeXMPP"));
    assert_eq!(user_agent.device.as_deref(), Some("Kiva's Phone"));

    // XEP-0386, 3.2, XEP-0198, 9.2 and XEP-0484, 3.2.
    let read = with(
        "<resume xmlns='urn:xmpp:sm:3' h='7' previd='some-long-sm-id'/><bind \
         xmlns='urn:xmpp:bind:0'><tag>AwesomeXMPP</tag><enable xmlns='urn:xmpp:carbons:2'/>\
         <enable xmlns='urn:xmpp:sm:3'/><inactive xmlns='urn:xmpp:csi:0'/></bind>\
         <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-ENDP'/>",
    )
    .unwrap();
    assert_eq!(read.resume, Some(Resume { previd: "some-long-sm-id".into(), h: 7 }));
    let bind = read.bind.clone().unwrap();
    assert_eq!(bind.tag.as_deref(), Some("AwesomeXMPP"));
    let features: Vec<_> = bind.features.iter().map(|it| (it.name(), it.ns())).collect();
    assert_eq!(
        features,
        [("enable", ns::CARBONS), ("enable", ns::SM), ("inactive", ns::CLIENT_STATE)]
    );
    let token = read.other("request-token", "urn:xmpp:fast:0").unwrap();
    assert_eq!(token.attr("mechanism").as_deref(), Some("HT-SHA-256-ENDP"));
}

#[test]
fn what_a_client_writes_is_what_a_server_reads() {
    let stanza = |xml: &'static str| Stanza::parse(xml.as_bytes()).unwrap();
    let written = Authenticate {
        mechanism: "PLAIN".into(),
        initial_response: Some(b"\0bob\0pencil".to_vec()),
        user_agent: Some(UserAgent {
            id: Some(UserAgentId::fresh()),
            software: Some("whoelse".into()),
            device: None,
        }),
        resume: Some(Resume { previd: "a<b".into(), h: u32::MAX }),
        bind: Some(Bind {
            tag: Some("whoelse & more".into()),
            features: vec![stanza("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")],
        }),
        others: vec![stanza("<fast xmlns='urn:xmpp:fast:0' count='3'/>")],
    };

    let element = Stanza::parse(written.encode()).unwrap();
    let read = Authenticate::read(&element).unwrap();

    assert_eq!(read.encode(), written.encode());
    assert_eq!(read.user_agent, written.user_agent);
    assert_eq!((read.resume, read.bind), (written.resume, written.bind));
}

#[test]
fn an_empty_initial_response_differs_from_none() {
    assert_eq!(with("").unwrap().initial_response, None);
    assert_eq!(with("<initial-response/>").unwrap().initial_response, Some(vec![]));
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_looked_up() {
    for (children, condition) in [
        ("<initial-response>?</initial-response>", Condition::IncorrectEncoding),
        ("<initial-response>=</initial-response>", Condition::IncorrectEncoding),
        ("<user-agent id=''/>", Condition::MalformedRequest),
        ("<user-agent id='phone'/>", Condition::MalformedRequest),
        ("<resume xmlns='urn:xmpp:sm:3' h='7'/>", Condition::MalformedRequest),
        ("<resume xmlns='urn:xmpp:sm:3' previd='x' h='-1'/>", Condition::MalformedRequest),
    ] {
        assert_eq!(with(children).unwrap_err(), condition, "{children}");
    }
}

#[test]
fn an_id_is_a_uuid_of_version_4_and_nothing_else() {
    let id = UserAgentId::parse(ID).unwrap();
    assert_eq!(UserAgentId::parse(&ID.to_uppercase()), Some(id));
    assert_eq!(UserAgentId::from_bytes(*id.as_bytes()), Some(id));
    assert_eq!(format!("{id:?}"), "UserAgentId(…)");
    for bad in [
        "",
        "d4565fa74d724749b3d3740edbf87770",
        "{d4565fa7-4d72-4749-b3d3-740edbf87770}",
        "d4565fa7-4d72-1749-b3d3-740edbf87770",
        "d4565fa7-4d72-4749-33d3-740edbf87770",
        "d4565fa7-4d72-4749-b3d3-740edbf8777",
        "d4565fa7-4d72-4749-b3d3-740edbf8777é",
        "d4565fa7+4d72-4749-b3d3-740edbf87770",
        "+4565fa7-4d72-4749-b3d3-740edbf87770",
    ] {
        assert_eq!(UserAgentId::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_fresh_id_is_one() {
    let id = UserAgentId::fresh();

    assert_eq!(UserAgentId::parse(&id.to_string()), Some(id));
    assert_ne!(id, UserAgentId::fresh());
}

#[test]
fn long_texts_are_cut_between_two_characters() {
    let long = "ä".repeat(TEXT);
    let read =
        with(&format!("<user-agent><device> {long}</device><software> </software></user-agent>"));

    let user_agent = read.unwrap().user_agent.unwrap();
    assert_eq!(user_agent.device.unwrap(), "ä".repeat(TEXT / 2));
    assert_eq!((user_agent.software, user_agent.id), (None, None));
}

#[test]
fn a_request_shows_no_password() {
    let shown = format!("{:?}", with("<initial-response>AGJvYgBwZW5jaWw=</initial-response>"));

    assert!(shown.contains("PLAIN") && !shown.contains("112"), "{shown}");
}

#[test]
fn a_child_means_alone_what_it_means_inside() {
    let read = with("<f:fast xmlns:f='urn:xmpp:fast:0' f:x='1'/><own xmlns='urn:own'><x/></own>");

    let others = read.unwrap().others;
    assert_eq!(others[0].bytes(), "<f:fast xmlns:f='urn:xmpp:fast:0' f:x='1'/>");
    assert_eq!((others[1].name(), others[1].ns()), ("own", "urn:own"));
}

#[test]
fn children_that_share_a_long_declaration_have_no_more_room_than_others() {
    let declared = format!("urn:{}", "x".repeat(ROOM / 4));
    let bind = ["<b:bind>", "</b:bind>"];
    for (parts, fits) in [
        (["", "<a:x/><a:x/><a:x/>", ""], true),
        (["", "<a:x/><a:x/><a:x/><a:x/>", ""], false),
        ([bind[0], "<a:x/><a:x/><a:x/>", bind[1]], true),
        ([bind[0], "<a:x/><a:x/><a:x/><a:x/>", bind[1]], false),
        (["<a:x/><a:x/><b:bind><a:x/>", bind[1], ""], true),
        (["<a:x/><a:x/><b:bind><a:x/><a:x/>", bind[1], ""], false),
    ] {
        let children = parts.concat();
        let read = read(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' xmlns:b='urn:xmpp:bind:0' \
             xmlns:a='{declared}' mechanism='PLAIN'>{children}</authenticate>"
        ));
        let refused = read.err();
        assert_eq!(refused, (!fits).then_some(Condition::MalformedRequest), "{children}");
    }
}

#[test]
fn a_child_without_a_namespace_of_its_own_is_of_no_specification() {
    let xml = "<s:authenticate xmlns:s='urn:xmpp:sasl:2' mechanism='PLAIN'><user-agent id='x'/>\
               <b:bind xmlns:b='urn:xmpp:bind:0'><tag>x</tag></b:bind></s:authenticate>";

    let read = read(xml).unwrap();

    assert!(read.others.is_empty() && read.user_agent.is_none());
    assert_eq!(read.bind, Some(Bind::default()));
}

#[test]
fn a_success_is_read_as_it_was_written() {
    let address = Jid::parse("bob@a.example/whoelse/x").unwrap();
    let others = "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound>\
                  <token xmlns='urn:xmpp:fast:0' token='x'/>";

    let written = success(Some(b"v=abc"), &address, others.as_bytes());
    let read = Success::read(&Stanza::parse(written).unwrap()).unwrap();

    assert_eq!(read.additional_data.as_deref(), Some(b"v=abc".as_slice()));
    assert_eq!(read.authorization_identifier, address);
    assert!(read.other("bound", ns::BIND2).unwrap().has("enabled", ns::SM));
    assert!(read.other("token", "urn:xmpp:fast:0").is_some());
    assert!(read.other("resumed", ns::SM).is_none());
}

#[test]
fn a_success_of_nobody_is_none() {
    for children in [
        "",
        "<authorization-identifier/>",
        "<authorization-identifier>a b@c</authorization-identifier>",
        "<additional-data>?</additional-data>\
         <authorization-identifier>bob@a.example</authorization-identifier>",
    ] {
        let xml = format!("<success xmlns='urn:xmpp:sasl:2'>{children}</success>");
        assert_eq!(Success::read(&Stanza::parse(xml).unwrap()), None, "{children}");
    }
}

#[test]
fn the_feature_is_read_as_it_was_written() {
    let inline = Inline {
        resume: true,
        bind: Some(vec![ns::CARBONS.into(), ns::SM.into()]),
        fast: vec!["HT-SHA-256-ENDP".into(), "HT-SHA-256-NONE".into()],
    };
    let written = Authentication::element(&[Mechanism::Plain], &inline);
    let features = Element::new("stream:features").child(written).finish();
    assert_eq!(
        features,
        "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>\
         <inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
         <feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/></inline></bind>\
         <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-ENDP</mechanism>\
         <mechanism>HT-SHA-256-NONE</mechanism></fast>\
         </inline></authentication></stream:features>"
    );

    let read = Authentication::read(&Stanza::parse(features).unwrap());

    assert_eq!(read, Some(Authentication { mechanisms: vec!["PLAIN".into()], inline }));
    let none = Stanza::parse("<stream:features/>").unwrap();
    assert_eq!(Authentication::read(&none), None);
}
