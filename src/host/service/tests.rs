use super::channel::{Channel, Memory};
use super::message::{Answer, Failed, Message, Question, Span, VERSION};
use super::*;
use crate::finding::{Code, Finding};
use crate::host::action::{Job, Task};
use crate::host::scan::DigestKey;
use crate::host::transaction::{Change, Request, TargetChange, Which};
use crate::host::{Error, PREFIX};
use crate::plan::{LiveKind, LivePath, Recorded, Stat};
use crate::render::{Content, TargetPath};
use crate::revision::{ObjectId, ReadError};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const KEY: [u8; 32] = [7; 32];

/// A state directory and a target, in a folder that goes away.
struct World {
    _temp: tempfile::TempDir,
    state: String,
    target: String,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    let [state, target] = ["state", "target"].map(|it| root.join(it).to_str().unwrap().to_owned());
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(&target).unwrap();
    std::fs::write(format!("{target}/a"), "old").unwrap();
    World { _temp: temp, state, target }
}

impl World {
    /// Everything but the set-id bits is allowed in the target, and the shell.
    fn powers(&self) -> Powers {
        let target = self.target.clone();
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let judge = move |_: &str, wish: Wish<'_>| match wish {
            Wish::Path(path) if path == target => Ok(()),
            Wish::Command("/bin/sh") => Ok(()),
            Wish::User(uid) if uid == own.0 => Ok(()),
            Wish::Group(gid) if gid == own.1 => Ok(()),
            other => Err(Finding::error(Code::TARGET_NOT_ALLOWED, format!("{other:?} is not allowed"))),
        };
        Powers { state_dir: self.state.clone(), systemctl: String::new(), judge: Box::new(judge) }
    }

    fn client(&self) -> Client {
        Client::new(Way::Here(self.powers()), "site", DigestKey::new(KEY))
    }

    fn at(&self, path: &str) -> LivePath {
        LivePath { root: self.target.clone(), path: TargetPath::new(path.as_bytes()).unwrap() }
    }

    /// A request that replaces `a`.
    fn request(&self, client: &Client, content: &str) -> Request {
        let ask = Ask { at: self.at("a"), known: None };
        let live = client.look(vec![ask]).unwrap().remove(0).entry().unwrap();
        let row = Recorded {
            identity: "i".into(),
            kind: LiveKind::File,
            digest: String::new(),
            mode: 0o640,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            sensitive: false,
            stat: Stat::default(),
        };
        let directories = (0o755, row.uid, row.gid);
        let change = Change {
            path: TargetPath::new(b"a").unwrap(),
            incoming: Some((Content::Bytes(content.as_bytes().into()), row)),
            outgoing: live,
            row_before: None,
            row_after: None,
            unowned: false,
        };
        let target = TargetChange {
            root: self.target.clone(),
            directories,
            made: vec![],
            publish: None,
            sensitive: vec![],
            changes: vec![change],
        };
        let actions = serde_json::json!({"next": 1});
        Request { deployment: 3, repository: "site".into(), targets: vec![target], actions }
    }

    fn read(&self) -> String {
        std::fs::read_to_string(format!("{}/a", self.target)).unwrap()
    }

    fn leftovers(&self) -> usize {
        let names = std::fs::read_dir(&self.target).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.filter(|it| it.starts_with(PREFIX)).count()
    }
}

fn no_blobs(id: &ObjectId) -> Result<Vec<u8>, ReadError> {
    Err(ReadError { what: id.to_string(), reason: "no blobs here".into() })
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("-", |it| it.code().name)
}

#[test]
fn what_the_host_does_not_allow_is_refused_by_the_process_itself() {
    let world = world();
    let client = world.client();
    let good = world.request(&client, "new");
    let mut elsewhere = good.clone();
    elsewhere.targets[0].root = "/etc".into();
    let mut given_away = good.clone();
    given_away.targets[0].changes[0].incoming.as_mut().unwrap().1.uid = 12345;
    let mut set_id = good.clone();
    set_id.targets[0].changes[0].incoming.as_mut().unwrap().1.mode = 0o4755;
    let mut other = good;
    other.repository = "other".into();
    for (request, expected) in [
        (elsewhere, "E_TARGET_NOT_ALLOWED"),
        (given_away, "E_TARGET_NOT_ALLOWED"),
        (set_id, "E_MODE_TYPE"),
        (other, "E_TRANSACTION"),
    ] {
        assert_eq!(code(client.stage(&request, &no_blobs)), expected);
    }
    let job = |argv: &[&str]| Job {
        what: Task::Command(argv.iter().map(|it| (*it).to_owned()).collect()),
        within: Duration::from_secs(60),
    };
    assert_eq!(code(client.run(&job(&["/bin/ls"]))), "E_TARGET_NOT_ALLOWED");
    assert_eq!(code(client.run(&job(&[]))), "E_TARGET_NOT_ALLOWED");
    assert!(client.run(&job(&["/bin/sh", "-c", "exit 0"])).unwrap().is_success());
    let unit = Job { what: Task::Unit { unit: "x.service".into(), verb: "restart".into() }, within: Duration::ZERO };
    assert_eq!(code(client.run(&unit)), "E_TARGET_NOT_ALLOWED");
    let outside = LivePath { root: "/etc".into(), path: TargetPath::new(b"passwd").unwrap() };
    assert_eq!(client.look(vec![Ask { at: outside.clone(), known: None }]).unwrap(), [Sight::Forbidden]);
    assert_eq!(code(client.read(&outside)), "E_TARGET_NOT_ALLOWED");
    assert_eq!(code(client.walk("/etc", &[])), "E_TARGET_NOT_ALLOWED");
    assert_eq!((world.read(), world.leftovers()), ("old".into(), 0));
}

#[test]
fn k03_which_files_are_live_is_told_by_the_process_as_far_as_it_is_allowed() {
    let world = world();
    let client = world.client();
    let is = |which| vec![(format!("{}/a", world.target), which)];
    assert_eq!(client.whereabouts().unwrap(), []);
    let staged = client.stage(&world.request(&client, "new"), &no_blobs).unwrap();
    assert_eq!(client.whereabouts().unwrap(), is(Which::Previous));
    let mut switched = staged.commit().unwrap();
    switched.settle().unwrap();
    assert_eq!(client.whereabouts().unwrap(), is(Which::New));
    let forbidden =
        Powers { judge: Box::new(|_, _| Err(Finding::error(Code::TARGET_NOT_ALLOWED, "no"))), ..world.powers() };
    let other = Client::new(Way::Here(forbidden), "site", DigestKey::new(KEY));
    assert_eq!(code(other.whereabouts()), "E_TARGET_NOT_ALLOWED");
    std::fs::remove_file(format!("{}/a", world.target)).unwrap();
    assert_eq!(client.whereabouts().unwrap(), is(Which::Neither));
}

#[test]
fn a_journal_for_a_target_that_is_not_allowed_any_more_is_not_finished() {
    let world = world();
    let client = world.client();
    drop(client.stage(&world.request(&client, "new"), &no_blobs).unwrap().commit().unwrap());
    drop(client);
    let judge = |_: &str, _: Wish<'_>| Err(Finding::error(Code::TARGET_NOT_ALLOWED, "no"));
    let powers = Powers { state_dir: world.state.clone(), systemctl: String::new(), judge: Box::new(judge) };
    let strict = Client::new(Way::Here(powers), "site", DigestKey::new(KEY));
    assert_eq!(code(strict.recover()), "E_TARGET_NOT_ALLOWED");
    let client = world.client();
    let Ok(Recovered::Forward(mut switched)) = client.recover() else { panic!("there was something to recover") };
    assert_eq!((switched.deployment, &switched.actions["next"]), (3, &serde_json::json!(1)));
    assert!(!switched.is_settled());
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!((world.read(), world.leftovers()), ("new".into(), 0));
}

#[test]
fn what_an_unfinished_deployment_left_where_nothing_is_allowed_any_more_is_not_cleared_away() {
    let world = world();
    let client = world.client();
    client.stage(&world.request(&client, "new"), &no_blobs).unwrap();
    let mut elsewhere = world.request(&client, "new");
    drop(client);
    assert_eq!(world.leftovers(), 1);
    let other = tempfile::tempdir().unwrap();
    let allowed = other.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    elsewhere.targets[0].root = allowed.clone();
    elsewhere.targets[0].changes[0].outgoing = None;
    let judge = move |_: &str, wish: Wish<'_>| match wish {
        Wish::Path(path) if path != allowed => Err(Finding::error(Code::TARGET_NOT_ALLOWED, "no")),
        _ => Ok(()),
    };
    let powers = Powers { state_dir: world.state.clone(), systemctl: String::new(), judge: Box::new(judge) };
    let strict = Client::new(Way::Here(powers), "site", DigestKey::new(KEY));
    assert_eq!(code(strict.stage(&elsewhere, &no_blobs)), "E_TARGET_NOT_ALLOWED");
    assert_eq!((world.read(), world.leftovers()), ("old".into(), 1));
    let foreign = Client::new(Way::Here(world.powers()), "site", DigestKey::new([0; 32]));
    assert_eq!(code(foreign.recover()), "E_JOURNAL_FOREIGN");
    assert!(matches!(world.client().recover(), Ok(Recovered::Abandoned)));
    assert_eq!(world.leftovers(), 0);
}

/// Serves connections at a socket of the world, one after the other, until the world is gone.
fn listen(world: &World) -> Way {
    let path = std::path::PathBuf::from(&world.state).join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let world = World { _temp: tempfile::tempdir().unwrap(), state: world.state.clone(), target: world.target.clone() };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), world.powers()).ok();
        }
    });
    Way::Socket(path)
}

#[test]
fn a_whole_deployment_goes_over_a_socket() {
    let world = world();
    let client = Client::new(listen(&world), "site", DigestKey::new(KEY));
    assert_eq!(client.whoami().unwrap().uid, rustix::process::geteuid().as_raw());
    let staged = client.stage(&world.request(&client, &"x".repeat(1 << 20)), &no_blobs).unwrap();
    let job = |script: &str| Job {
        what: Task::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        within: Duration::from_secs(60),
    };
    let jobs = vec![job("echo {{ staged }}; test $(wc -c < {{staged}}/a) = 1048576"), job("exit 3"), job("exit 0")];
    let outcomes = staged.check(&world.target, jobs).unwrap();
    let ends: Vec<bool> = outcomes.iter().map(|it| it.is_success()).collect();
    assert_eq!((ends, outcomes[0].output.as_str()), (vec![true, false], world.target.as_str()));
    // An edit at the last moment, with the old size and times: only its content tells.
    let mut switched = staged.commit().unwrap();
    assert_eq!((world.read().len(), switched.rows.put.len(), switched.surprises.len()), (1 << 20, 1, 0));
    switched.settle().unwrap();
    let restored = switched.restore().unwrap();
    assert_eq!(world.read(), "old");
    restored.finish().unwrap();
    assert_eq!(world.leftovers(), 0);
    let copy = client.read(&world.at("a")).unwrap().unwrap();
    assert_eq!((copy.bytes.as_slice(), copy.link), (b"old".as_slice(), false));
    assert!(client.read(&world.at("nothing")).unwrap().is_none());
    let walk = client.walk(&world.target, &["b*".into()]).unwrap();
    assert_eq!(walk.entries.len(), 1);
}

#[test]
fn what_a_client_that_goes_away_leaves_is_recovered_by_the_next() {
    let world = world();
    let way = listen(&world);
    let Way::Socket(path) = &way else { panic!("it listens") };
    let client = Client::new(Way::Socket(path.clone()), "site", DigestKey::new(KEY));
    client.stage(&world.request(&client, "new"), &no_blobs).unwrap();
    drop(client);
    let client = Client::new(way, "site", DigestKey::new(KEY));
    assert!(matches!(client.recover(), Ok(Recovered::Abandoned)));
    assert_eq!((world.read(), world.leftovers()), ("old".into(), 0));
}

#[test]
fn a_process_that_dies_before_it_answers_leaves_it_to_recovery() {
    let world = world();
    let path = std::path::PathBuf::from(&world.state).join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let request = world.request(&world.client(), "new");
    let powers = world.powers();
    let server = std::thread::spawn(move || {
        let mut channel = Channel::new(listener.accept().unwrap().0);
        let mut server = Server::new(powers);
        let received = channel.receive::<Message>().unwrap().unwrap();
        let reply = server.answer(received.message, received.file);
        channel.send(&reply.answer, &reply.body, None).unwrap();
        // The commit is heard and carried out, and then there is nobody to say so.
        let received = channel.receive::<Message>().unwrap().unwrap();
        server.answer(received.message, received.file);
    });
    let client = Client::new(Way::Socket(path), "site", DigestKey::new(KEY));
    let staged = client.stage(&request, &no_blobs).unwrap();
    assert!(matches!(staged.commit(), Err(CommitFailed::After(Error::Gone { .. }))));
    server.join().unwrap();
    assert_eq!(world.read(), "new");
    assert!(matches!(world.client().recover(), Ok(Recovered::Forward(_))));
}

/// Says something to a fresh server as it would come over the socket.
fn say(world: &World, question: Question, plan: Option<std::fs::File>) -> Answer {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours, mut theirs) = (Channel::new(ours), Channel::new(theirs));
    let message = Message { version: VERSION.into(), repository: "site".into(), key: KEY, question };
    ours.send(&message, &[], plan.as_ref()).unwrap();
    let received = theirs.receive::<Message>().unwrap().unwrap();
    Server::new(world.powers()).answer(received.message, received.file).answer
}

#[test]
fn a_plan_that_can_still_be_changed_or_is_cut_short_is_refused() {
    let world = world();
    let mut request = world.request(&world.client(), "new");
    let content = Content::Blob { id: ObjectId::new("0"), size: 3 };
    request.targets[0].changes[0].incoming.as_mut().unwrap().0 = content;
    let memory = |seal: bool| {
        let mut memory = Memory::new().unwrap();
        memory.add(b"new").unwrap();
        if seal { memory.seal().unwrap() } else { memory.unsealed() }
    };
    let stage = |len: u64, plan| {
        let blobs = vec![("0".to_owned(), Span { at: 0, len })];
        say(&world, Question::Stage { request: request.clone(), blobs }, plan)
    };
    for (answer, expected) in [
        (stage(3, Some(memory(false))), "not sealed"),
        (stage(4, Some(memory(true))), "cut short"),
        (stage(3, None), "not handed over"),
    ] {
        let Answer::Failed(Failed { message, .. }) = answer else { panic!("{expected}: it is staged") };
        assert!(message.contains(expected), "{message}");
        assert_eq!((world.read(), world.leftovers()), ("old".into(), 0));
    }
    assert!(matches!(stage(3, Some(memory(true))), Answer::Done));
}

#[test]
fn what_is_out_of_turn_is_refused() {
    let world = world();
    for question in [Question::Commit, Question::Abandon, Question::Settle, Question::Restore, Question::Finish] {
        assert!(matches!(say(&world, question, None), Answer::Failed(_)));
    }
}

#[test]
fn a_message_that_is_no_message_ends_the_conversation() {
    use std::io::Write;
    for bytes in
        [&[0u8; 16][..], &[255; 16], b"GET / HTTP/1.1\r\n\r\n", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'{']]
    {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(bytes).unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(Channel::new(theirs).receive::<Message>().is_err());
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    assert!(Channel::new(theirs).receive::<Message>().unwrap().is_none());
}

#[test]
fn i21_another_version_is_told_to_restart() {
    let world = world();
    let question = Question::Whoami;
    let message = Message { version: "0.0.1".into(), repository: "site".into(), key: KEY, question };
    let answer = super::server::Server::new(world.powers()).answer(message, None).answer;
    let Answer::Failed(failed) = answer else { panic!("it is answered") };
    assert_eq!(failed.code, "E_TRANSACTION");
    assert!(failed.message.contains("asked by 0.0.1; restart headfast.service"), "{}", failed.message);
}
