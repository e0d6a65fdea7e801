//! Formats a world as readable text.

use std::fmt::Write;

use super::{Domain, Engine, Quota, Role, Target, World};

pub(super) fn render(world: &World) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, world);
    out
}

fn write(out: &mut String, world: &World) -> std::fmt::Result {
    let wide = world.hosts.keys().map(|name| name.len()).max().unwrap_or(0);
    let fqdn_wide = world.hosts.values().map(|host| host.fqdn.len()).max().unwrap_or(0);
    writeln!(out, "world {}", world.name)?;
    writeln!(out, "\nhosts")?;
    for host in world.hosts.values() {
        let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
        let role = match &host.role {
            Role::Dns => "DNS: name server for all names".to_owned(),
            Role::Mua => "MUA: sends and fetches mail for users".to_owned(),
            Role::Mda(_) => format!("MDA: mailboxes of {}", served(world, |domain| domain.mailboxes == host.name)),
            Role::Mta(mta) => {
                let mut does = vec![];
                match &mta.engine {
                    Engine::Postroad => {}
                    Engine::Mailin => does.push("mailin-embedded, in real time only".to_owned()),
                    Engine::External(external) => does.push(format!("an external server at {}", external.at)),
                }
                let domains = served(world, |domain| domain.mx.contains(&host.name));
                if !domains.is_empty() {
                    does.push(format!("accepts mail for {domains}"));
                }
                if !mta.relay_from.is_empty() {
                    does.push(format!("relays for {}", mta.relay_from));
                }
                does.push(match &mta.smarthost {
                    _ if !mta.engine.is_ours() => "relays mail according to its own configuration".to_owned(),
                    Some(next) => format!("sends the rest to {next}"),
                    None => "finds the next host by MX".to_owned(),
                });
                format!("MTA: {}", does.join("; "))
            }
        };
        writeln!(out, "  {:wide$}  {:fqdn_wide$}  {:<15}  {role}", host.name, host.fqdn, addresses.join(" "))?;
    }
    writeln!(out, "\nroutes of mail")?;
    for (name, domain) in &world.domains {
        write_route(out, world, name, domain)?;
    }
    for name in &world.no_mail {
        writeln!(out, "  to {name}: it accepts no mail")?;
    }
    if let Some(domain) = &world.elsewhere {
        write_route(out, world, "any other domain", domain)?;
    }
    writeln!(out, "\nusers")?;
    for user in world.users.values() {
        writeln!(out, "  {}{}", user.address, user.quota.map_or_else(String::new, limits))?;
    }
    if world.elsewhere.is_some() {
        writeln!(out, "  any user in any other domain; mailboxes are created with the first message")?;
    }
    write_aliases(out, world)?;
    if !world.ports.is_empty() {
        writeln!(out, "\nports on 127.0.0.1")?;
        for (service, port) in &world.ports {
            writeln!(out, "  {service:<11}  {port}")?;
        }
    }
    Ok(())
}

/// The quota of a user, as a suffix of the address.
fn limits(Quota { storage, messages }: Quota) -> String {
    let limits = [storage.map(|limit| format!("{limit} bytes")), messages.map(|limit| format!("{limit} messages"))];
    format!(", at most {}", limits.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

fn write_aliases(out: &mut String, world: &World) -> std::fmt::Result {
    let name = |target: &Target| match target {
        Target::Address(address) => address.to_string(),
        Target::Discard => "discarded".to_owned(),
    };
    // Every domain has this alias by default.
    let is_default = |alias: &str, targets: &str| {
        alias.strip_prefix("abuse@").is_some_and(|domain| targets.strip_prefix("postmaster@") == Some(domain))
    };
    for (alias, targets) in &world.aliases {
        let targets: Vec<_> = targets.iter().map(name).collect();
        let targets = targets.join(", ");
        if !is_default(alias, &targets) {
            writeln!(out, "  {alias} -> {targets}")?;
        }
    }
    for (domain, served) in &world.domains {
        if let Some(target) = &served.catch_all {
            writeln!(out, "  any other user in {domain} -> {}", name(target))?;
        }
    }
    Ok(())
}

fn served(world: &World, serves: impl Fn(&Domain) -> bool) -> String {
    let mut domains: Vec<_> =
        world.domains.iter().filter(|(_, domain)| serves(domain)).map(|(name, _)| name.as_str()).collect();
    if world.elsewhere.as_ref().is_some_and(serves) {
        domains.push("any other domain");
    }
    domains.join(", ")
}

fn write_route(out: &mut String, world: &World, name: &str, domain: &Domain) -> std::fmt::Result {
    let mx: Vec<_> = domain.mx.iter().map(AsRef::as_ref).collect();
    let mx = mx.join(" or ");
    let senders = world.mtas().filter(|(host, _)| !domain.mx.contains(&host.name));
    let routes: Vec<_> =
        senders.filter_map(|(host, mta)| Some(format!("{} -> {}", host.name, mta.smarthost.as_ref()?))).collect();
    writeln!(out, "  to {name}: -> {mx} -> {}", domain.mailboxes)?;
    for route in routes {
        writeln!(out, "      from {route} -> {mx}")?;
    }
    Ok(())
}
