//! Formats a world as readable text.

use std::fmt::Write;

use super::{Domain, Engine, Quota, Role, Route, Target, World};

/// The world as text: hosts, routes of mail, users, aliases, ports.
pub(super) fn render(world: &World) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, world);
    out
}

/// Writes all sections: hosts, routes of mail, users, aliases, ports.
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
                does.extend(mta.routes.iter().map(static_route));
                does.push(match &mta.smarthost {
                    _ if !mta.engine.is_ours() => "relays mail according to its own configuration".to_owned(),
                    Some(next) => format!("sends the rest to {next}"),
                    None if mta.routes.is_empty() => "finds the next host by MX".to_owned(),
                    None => "finds the next host for the rest by MX".to_owned(),
                });
                format!("MTA: {}", does.join("; "))
            }
        };
        writeln!(out, "  {:wide$}  {:fqdn_wide$}  {:<15}  {role}", host.name, host.fqdn, addresses.join(" "))?;
    }
    writeln!(out, "\nroutes of mail")?;
    for (name, domain) in &world.domains {
        write_routes_to(out, world, name, domain)?;
    }
    for name in &world.no_mail {
        writeln!(out, "  to {name}: it accepts no mail")?;
    }
    if let Some(domain) = &world.elsewhere {
        write_routes_to(out, world, "any other domain", domain)?;
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

/// The limits of a quota, to follow the address of the user: `, at most 100 bytes and 2 messages`.
fn limits(Quota { storage, messages }: Quota) -> String {
    let limits = [storage.map(|limit| format!("{limit} bytes")), messages.map(|limit| format!("{limit} messages"))];
    format!(", at most {}", limits.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

/// Writes the aliases and catch-alls, without the default alias `abuse`.
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

/// The names of the domains for which `serves` holds, joined by commas; `any other domain` stands for `elsewhere`.
fn served(world: &World, serves: impl Fn(&Domain) -> bool) -> String {
    let mut domains: Vec<_> =
        world.domains.iter().filter(|(_, domain)| serves(domain)).map(|(name, _)| name.as_str()).collect();
    if world.elsewhere.as_ref().is_some_and(serves) {
        domains.push("any other domain");
    }
    domains.join(", ")
}

/// Writes the route of mail to a domain by its MX, and from which MTAs it goes another way, by a route or a smarthost.
/// `name` may be a phrase for all other domains, to which no route applies.
fn write_routes_to(out: &mut String, world: &World, name: &str, domain: &Domain) -> std::fmt::Result {
    let mx = exchanges(domain);
    writeln!(out, "  to {name}: -> {mx} -> {}", domain.mailboxes)?;
    for (host, mta) in world.mtas().filter(|(host, _)| !domain.mx.contains(&host.name)) {
        // Patterns may match any other domain or not, which depends on the domain.
        let is_declared = world.domains.contains_key(name);
        let route = mta.routes.iter().find(|route| is_declared && route.to.matches(name));
        let next = match route.and_then(|route| route.via.as_ref()) {
            Some(via) => Some(via.to_string()),
            None => mta.smarthost.as_ref().map(ToString::to_string),
        };
        match next {
            Some(next) if domain.mx.iter().any(|host| **host == *next) => {
                writeln!(out, "      from {} -> {next}", host.name)?
            }
            Some(next) => writeln!(out, "      from {} -> {next} -> {mx}", host.name)?,
            None => {}
        }
    }
    Ok(())
}

/// The MTAs of a domain, by preference; those of equal preference are in brackets.
fn exchanges(domain: &Domain) -> String {
    let mut groups: Vec<(u16, Vec<&str>)> = Vec::new();
    for (preference, host) in domain.mx_preferences.iter().zip(&domain.mx) {
        match groups.last_mut().filter(|(last, _)| last == preference) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((*preference, vec![host])),
        }
    }
    let group = |(_, hosts): &(u16, Vec<&str>)| match hosts.as_slice() {
        [one] => (*one).to_owned(),
        equal => format!("[{}]", equal.join(", ")),
    };
    groups.iter().map(group).collect::<Vec<_>>().join(" or ")
}

/// What an MTA does with the domains of a route.
fn static_route(route: &Route) -> String {
    let via = route.via.as_ref().map_or_else(|| "their MX".to_owned(), ToString::to_string);
    let tls = route.tls.map_or_else(String::new, |tls| format!(", with tls = \"{}\"", tls.name()));
    format!("sends mail for {} to {via}{tls}", route.to)
}
