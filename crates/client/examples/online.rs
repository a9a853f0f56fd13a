//! Lists who is online, and goes:
//! `WHOELSE_PASSWORD=… cargo run -p whoelse-client --example online -- NAME HOST PORT`.

use whoelse_client::{Client, Config, Password, RequestError, commands};

/// Anything that ends the program.
type Failed = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let [name, host, port] = [arguments.next(), arguments.next(), arguments.next()]
        .map(|it| it.ok_or("usage: online NAME HOST PORT"));
    let password = Password::new(&std::env::var("WHOELSE_PASSWORD")?)?;
    // Nobody reads what arrives: messages stay with the server for a client that shows them.
    let config = Config { unread: true, ..Config::new(&host?, port?.parse()?) };
    let (client, _events) = Client::start(config);
    client.login(&name?, password).await.map_err(|why| format!("no login: {why:?}"))?;
    for name in online(&client).await.map_err(|why| format!("no answer: {why:?}"))? {
        println!("{name}");
    }
    client.logout().await;
    Ok(())
}

/// The names of everybody else online whom this account may see, sorted.
pub async fn online(client: &Client) -> Result<Vec<String>, RequestError> {
    let people = commands::whoelse(client).await?;
    Ok(people.iter().filter_map(|who| who.local()).map(str::to_owned).collect())
}
