"""The tables, as migrations: each entry leads from the version before it; never edit one that was released."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    -- The last agreed address of each family; kept through disputes and outages (law 1).
    CREATE TABLE good_address (
        family INTEGER PRIMARY KEY, address TEXT NOT NULL, since REAL NOT NULL, confirmed REAL NOT NULL
    );
    CREATE TABLE address_history (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, family INTEGER NOT NULL,
        before TEXT, after TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX address_history_at ON address_history (at);

    CREATE TABLE update_history (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, provider TEXT NOT NULL, fqdn TEXT NOT NULL,
        change TEXT NOT NULL, ok INTEGER NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL, seconds REAL NOT NULL
    );
    CREATE INDEX update_history_at ON update_history (at);

    -- Everything else worth telling: a dispute, a lockout, a held plan.
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
    );
    CREATE INDEX event_at ON event (at);

    -- What was last published where, by what the provider confirmed.
    CREATE TABLE published (
        provider TEXT NOT NULL, fqdn TEXT NOT NULL, type INTEGER NOT NULL,
        ttl INTEGER NOT NULL, rdatas BLOB NOT NULL, at REAL NOT NULL, account TEXT NOT NULL,
        PRIMARY KEY (provider, fqdn, type)
    ) WITHOUT ROWID;

    -- When each host was last asked for at each provider (cooldowns outlive a restart).
    CREATE TABLE request (
        provider TEXT NOT NULL, fqdn TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (provider, fqdn)
    ) WITHOUT ROWID;

    CREATE TABLE lockout (
        provider TEXT NOT NULL, account TEXT NOT NULL, host TEXT NOT NULL, code TEXT NOT NULL,
        reason TEXT NOT NULL, since REAL NOT NULL, until REAL, fingerprint TEXT NOT NULL,
        PRIMARY KEY (provider, account, host, code)
    ) WITHOUT ROWID;

    CREATE TABLE zone (origin TEXT PRIMARY KEY, serial INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

    -- Whole JSON documents, such as the state that ``homing status`` shows.
    CREATE TABLE document (key TEXT PRIMARY KEY, at REAL NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    -- A zone by its RRsets and the steps of its journal. Serials up to ceiling may be in use, unless exact.
    CREATE TABLE zone_head (
        origin TEXT PRIMARY KEY, serial INTEGER NOT NULL, soa TEXT NOT NULL,
        ceiling INTEGER NOT NULL, exact INTEGER NOT NULL, octets INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE zone_rrset (
        origin TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, type INTEGER NOT NULL,
        ttl INTEGER NOT NULL, rdatas TEXT NOT NULL, PRIMARY KEY (origin, name, type)
    ) WITHOUT ROWID;
    CREATE TABLE zone_step (id INTEGER PRIMARY KEY, origin TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX zone_step_origin ON zone_step (origin, id);

    INSERT INTO zone_head
        SELECT origin, serial, json_extract(CAST(body AS TEXT), '$.soa'), serial, 1, 0
        FROM zone WHERE json_valid(CAST(body AS TEXT)) AND json_extract(CAST(body AS TEXT), '$.soa') IS NOT NULL;
    INSERT OR REPLACE INTO zone_rrset
        SELECT zone.origin, json_extract(item.value, '$.name'), json_extract(item.value, '$.type'),
            json_extract(item.value, '$.ttl'),
            (SELECT group_concat(rdata.value, ',') FROM json_each(item.value, '$.rdatas') AS rdata)
        FROM zone JOIN zone_head USING (origin), json_each(CAST(zone.body AS TEXT), '$.rrsets') AS item;
    DROP TABLE zone;
    """,
    """
    -- Looks at the history by name, by failure and by kind cost what they show (store/history.py).
    CREATE INDEX address_history_family ON address_history (family, at);
    CREATE INDEX update_history_name ON update_history (fqdn, at);
    CREATE INDEX update_history_failed ON update_history (at) WHERE ok = 0;
    CREATE INDEX update_history_name_failed ON update_history (fqdn, at) WHERE ok = 0;
    CREATE INDEX event_kind ON event (kind, at);
    """,
)
