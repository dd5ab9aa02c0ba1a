-- bookcli: the tables, the constraints and the kernel. This file is the one truth about the database.
--
-- Reading order: roles, words, catalog, schedules and slots, patients, appointments, what follows an appointment,
-- the gateway (who is asking), the kernel (every write to a booking), the reads, the audit, the invariants, the grants.
--
-- What must stay true, whatever runs at the same time:
--   * a slot never holds more active appointments than its capacity   slot.booked CHECK  +  occupancy primary key
--   * one request key makes at most one booking, for ever             request primary key
--   * a patient is never in two places at once                        appointment_patient_in_one_place
--   * every change leaves one audit row, written by the same transaction, and so does every look at a patient
--   * an audit row that was altered afterwards is found       verify_audit, from a head that is kept elsewhere
--   * who has no live session sees no patient and books nothing       no grant on a table that knows patients, row-level
--                                                             security on all of them, `enter` in every granted function
--
-- The rule sheet for locks:
--   1. advisory transaction locks (class, id): 1 = slot, 2 = patient; all of a call in one statement, ascending;
--      0 = changing the schema (0, 1) and 3 = sealing the audit (3, 0), each taken alone and never with another;
--      a row of the waiting list is locked before all of these, and never waited for by whoever has one of them, and so is
--      a site's row, by who publishes, closes and reopens, one at a time or ascending; rows of the catalog are saved
--      ascending, in the mode for which nobody waits who only refers to them;
--   2. then appointment rows ascending, then slot rows ascending by slot_id, then request keys ascending; notification rows
--      ascending and with nothing else, except that `undo` takes those of all its appointments last, after all of these;
--      who sends never waits for any of them;
--   3. after a lock is granted, what it protects is read again in a new statement: a snapshot taken before the
--      wait is older than the wait (measured: 20 of 20 trials oversold in one statement).
-- Everything runs in READ COMMITTED, which `book` asserts.

-- Roles: a desk, a worker, an auditor and an administrator log in as roles of their own that are members of one of these.
-- What a person may do is decided by their session (role_permission); what a machine may do at all, by its role.
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['bookcli_owner', 'bookcli_desk', 'bookcli_worker', 'bookcli_auditor', 'bookcli_admin'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server is being prepared at the same moment
      END;
    END IF;
  END LOOP;
  IF NOT pg_has_role('bookcli_admin', 'bookcli_owner', 'MEMBER') THEN
    -- Not inherited: an administrator says SET ROLE bookcli_owner, as `bookcli db upgrade` does, or is like anybody else.
    GRANT bookcli_owner TO bookcli_admin;
  END IF;
  -- Since PostgreSQL 16 whoever creates a role may give it away, but not yet become it.
  IF NOT pg_has_role('bookcli_owner', CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END) THEN
    EXECUTE format('GRANT bookcli_owner TO %I', session_user);
  END IF;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin', current_database());
  EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO bookcli_owner', current_database());
END $$;

-- Settings of the database rather than of a session: behind pgbouncer a session setting leaks to the next client.
DO $$
DECLARE setting text;
BEGIN
  FOREACH setting IN ARRAY ARRAY[
    'search_path = app, ext', 'timezone = ''UTC''', 'default_transaction_isolation = ''read committed''',
    'lock_timeout = ''3s''', 'statement_timeout = ''5s''', 'idle_in_transaction_session_timeout = ''5s''', 'jit = off']
  LOOP
    EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
  END LOOP;
  -- What a server logs may not say who its patients are: neither the values of a statement nor the row that broke a rule.
  -- And one query that sorts without end does not fill the disk, which is everybody's.
  -- Only a superuser may set this; `bookcli db check` by one tells where it is missing.
  IF current_setting('is_superuser')::boolean THEN
    FOREACH setting IN ARRAY ARRAY['log_error_verbosity = terse', 'log_parameter_max_length = 0',
                                   'log_parameter_max_length_on_error = 0', 'log_min_error_statement = panic',
                                   'temp_file_limit = ''8GB'''] LOOP
      EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
    END LOOP;
  END IF;
END $$;

-- Whoever can connect could take the locks of the kernel and keep them, or fill the disk with large objects, without anybody's
-- session. Only a superuser may forbid that; without one `bookcli doctor` says so.
DO $$
DECLARE everybodys regprocedure;
BEGIN
  IF current_setting('is_superuser')::boolean THEN
    FOR everybodys IN
      SELECT p.oid FROM pg_proc p
       WHERE p.pronamespace = 'pg_catalog'::regnamespace
         AND p.proname ~ '^(pg_(try_)?advisory_(xact_)?lock(_shared)?|lo_creat|lo_create|lo_from_bytea)$'
    LOOP
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', everybodys);
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO bookcli_owner, bookcli_admin', everybodys);
    END LOOP;
  END IF;
END $$;

SET LOCAL ROLE bookcli_owner;
-- Without a schema, because only so does it take away what everybody has by default.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE SCHEMA app;
CREATE SCHEMA ext;
CREATE EXTENSION btree_gist WITH SCHEMA ext;
CREATE EXTENSION unaccent WITH SCHEMA ext;
CREATE EXTENSION pg_trgm WITH SCHEMA ext;
SET LOCAL search_path = app, ext;


-- Words ---------------------------------------------------------------------------------------------------------

CREATE DOMAIN code AS text CHECK (VALUE ~ '^[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?$');
COMMENT ON DOMAIN code IS 'What a desk types for a site, a test or a resource: lower case, digits, dot and hyphen.';

CREATE DOMAIN label AS text CHECK (VALUE <> '' AND char_length(VALUE) <= 200);
COMMENT ON DOMAIN label IS 'One line that people read.';

CREATE TYPE appointment_status AS ENUM (
  'proposed', 'pending', 'booked', 'arrived', 'checked-in', 'fulfilled', 'cancelled', 'noshow', 'waitlist',
  'entered-in-error');
COMMENT ON TYPE appointment_status IS 'HL7 FHIR Appointment.status. A hold is `pending` with held_until.';

CREATE FUNCTION is_active(status appointment_status) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled') $$;
COMMENT ON FUNCTION is_active IS 'Whether an appointment in this status takes a place. A fulfilled one has used its place up.';

CREATE FUNCTION fold(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS
$$ SELECT lower(ext.unaccent('ext.unaccent', words)) $$;
COMMENT ON FUNCTION fold IS 'Text with case and accents taken away, for searching.';

CREATE FUNCTION phone_tail(phone text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS
$$ SELECT reverse(regexp_replace(phone, '[^0-9]', '', 'g')) $$;
COMMENT ON FUNCTION phone_tail IS 'The digits of a phone number, last first: however it is written, its end is what people say.';

-- References: what people say on the phone --------------------------------------------------------------------------
-- The twin of bookcli/core/model/references.py. The id is scrambled by a bijection of 35 bits (x * 22695477 + 1640531527,
-- x # x >> 17, x * 1103515245, each mod 2^35), written in Crockford's base 32 and closed with a Luhn mod 32 check
-- character. PL/pgSQL because intermediate values are used many times: an inlinable SQL expression has to repeat them,
-- runs no faster and makes every statement dearer to plan.

CREATE FUNCTION reference_of(appointment_id bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  alphabet  constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  z         bigint := (appointment_id * 22695477 + 1640531527) & 34359738367;
  luhn      bigint;
BEGIN
  IF appointment_id NOT BETWEEN 1 AND 34359738367 THEN
    RAISE EXCEPTION 'an appointment id lies between 1 and 2^35 - 1' USING ERRCODE = 'numeric_value_out_of_range';
  END IF;
  z := z # (z >> 17);
  -- In two halves, because 35 bits times 31 bits do not fit in a bigint.
  z := ((z & 262143) * 1103515245 + (((z >> 18) * 1103515245 & 131071) << 18)) & 34359738367;
  -- Seven digits of 5 bits side by side: the 1st, 3rd, 5th and 7th are rotated left by one bit, which is doubling and
  -- adding both digits; digits then stand 10 bits apart, and the sum of digits in base 1024 is the rest mod 1023.
  luhn := (((z & 16121871375) << 1) + ((z & 17196662800) >> 4) + ((z & 1041204192) >> 5)) % 1023;
  RETURN substr(alphabet, (z >> 30)::integer + 1, 1)
      || substr(alphabet, (z >> 25 & 31)::integer + 1, 1)
      || substr(alphabet, (z >> 20 & 31)::integer + 1, 1)
      || substr(alphabet, (z >> 15 & 31)::integer + 1, 1)
      || '-'
      || substr(alphabet, (z >> 10 & 31)::integer + 1, 1)
      || substr(alphabet, (z >> 5 & 31)::integer + 1, 1)
      || substr(alphabet, (z & 31)::integer + 1, 1)
      || substr(alphabet, (-luhn & 31)::integer + 1, 1);
END $$;
COMMENT ON FUNCTION reference_of(bigint) IS 'The reference of an appointment, such as 7F3K-Q2MG; an error outside 1 to 2^35 - 1.';

CREATE FUNCTION appointment_id_of(reference text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  alphabet  constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  word      text;
  z         bigint := 0;
  found     bigint;
BEGIN
  IF length(reference) > 64 THEN
    RETURN NULL;
  END IF;
  word := translate(reference, E'abcdefghijklmnopqrstuvwxyzOIL \t\r\n-', 'ABCDEFGH1JK1MN0PQRSTUVWXYZ011');
  IF length(word) <> 8 OR translate(word, alphabet, '') <> '' THEN
    RETURN NULL;
  END IF;
  FOR place IN 1..7 LOOP
    z := z << 5 | (strpos(alphabet, substr(word, place, 1)) - 1);
  END LOOP;
  -- The steps of reference_of backwards: times the inverse of 1103515245, the shift, times the inverse of 22695477.
  z := ((z & 131071) * 8300129125 + (((z >> 17) * 8300129125 & 262143) << 17)) & 34359738367;
  z := z # (z >> 17) # (z >> 34);
  z := (z - 1640531527) & 34359738367;
  found := ((z & 131071) * 22165132317 + (((z >> 17) * 22165132317 & 262143) << 17)) & 34359738367;
  IF found = 0 THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN right(reference_of(found), 1) = right(word, 1) THEN found END;
END $$;
COMMENT ON FUNCTION appointment_id_of(text) IS
  'The appointment id behind a reference as people type it (any case, spaces, O for 0, I or L for 1); NULL when it is none.';


-- Catalog: where, what, with which machine ------------------------------------------------------------------------

CREATE TABLE site (
  site_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code     code NOT NULL UNIQUE,
  name     label NOT NULL,
  zone     label NOT NULL,
  phone    text NOT NULL DEFAULT '' CHECK (char_length(phone) <= 40),
  active   boolean NOT NULL DEFAULT true,
  quiet_from   time,
  quiet_until  time,
  names_test   boolean NOT NULL DEFAULT false,
  offer_minutes  integer NOT NULL DEFAULT 240 CHECK (offer_minutes BETWEEN 5 AND 10080),
  CONSTRAINT site_quiet_hours_begin_and_end
    CHECK (num_nulls(quiet_from, quiet_until) = 2 OR (num_nulls(quiet_from, quiet_until) = 0 AND quiet_from <> quiet_until))
);
COMMENT ON TABLE site IS 'FHIR Location: a clinic. Its IANA zone decides what a day and a time of day are.';
COMMENT ON COLUMN site.quiet_from IS 'From then until quiet_until, local time, no text message and no reminder is sent; over midnight if it is the later one.';
COMMENT ON COLUMN site.offer_minutes IS 'So long a place is kept for whom on the waiting list it is offered to.';
COMMENT ON COLUMN site.names_test IS 'Whether a subject, a text message and a webhook, which others may see, may say which test it is.';

CREATE TABLE test (
  test_id                integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code                   code NOT NULL UNIQUE,
  name                   label NOT NULL,
  duration_minutes       integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1440),
  buffer_before_minutes  integer NOT NULL DEFAULT 0 CHECK (buffer_before_minutes BETWEEN 0 AND 240),
  buffer_after_minutes   integer NOT NULL DEFAULT 0 CHECK (buffer_after_minutes BETWEEN 0 AND 240),
  lead_minutes           integer NOT NULL DEFAULT 0 CHECK (lead_minutes BETWEEN 0 AND 525600),
  window_days            integer NOT NULL DEFAULT 365 CHECK (window_days BETWEEN 1 AND 3650),
  min_interval_days      integer NOT NULL DEFAULT 0 CHECK (min_interval_days BETWEEN 0 AND 3650),
  preparation            text NOT NULL DEFAULT '' CHECK (char_length(preparation) <= 2000),
  active                 boolean NOT NULL DEFAULT true,
  remind_before          interval[] NOT NULL DEFAULT '{24:00:00}'
    CHECK (cardinality(remind_before) <= 5 AND array_position(remind_before, NULL) IS NULL
           AND interval '5 minutes' <= ALL (remind_before) AND interval '60 days' >= ALL (remind_before)),
  fasting                boolean
);
COMMENT ON TABLE test IS 'FHIR ServiceType: what can be booked, and the rules the kernel checks for it.';
COMMENT ON COLUMN test.duration_minutes IS 'The patient''s time. Longer than a slot: consecutive slots of one resource are taken.';
COMMENT ON COLUMN test.buffer_before_minutes IS 'The resource''s time before it; slots that lie in it lose a place too.';
COMMENT ON COLUMN test.buffer_after_minutes IS 'The resource''s time after it, e.g. cleaning.';
COMMENT ON COLUMN test.lead_minutes IS 'Booked at least so long before it starts.';
COMMENT ON COLUMN test.window_days IS 'Booked at most so long before it starts.';
COMMENT ON COLUMN test.min_interval_days IS 'Between two of the same test for a patient, whichever comes first.';
COMMENT ON COLUMN test.preparation IS 'Read aloud when booking, e.g. "Nothing to eat for 8 hours".';
COMMENT ON COLUMN test.fasting IS 'Whether nothing is eaten before it, so that a visit begins with it; NULL: as the words of its preparation say.';
COMMENT ON COLUMN test.remind_before IS 'How long before it the patient is reminded, once each time; none: not at all.';

CREATE TABLE resource (
  resource_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id      integer NOT NULL REFERENCES site,
  code         code NOT NULL,
  name         label NOT NULL,
  active       boolean NOT NULL DEFAULT true,
  UNIQUE (site_id, code)
);
COMMENT ON TABLE resource IS 'A machine, room or person that performs tests.';

CREATE TABLE resource_test (
  resource_id  integer NOT NULL REFERENCES resource,
  test_id      integer NOT NULL REFERENCES test,
  PRIMARY KEY (resource_id, test_id)
);
COMMENT ON TABLE resource_test IS 'Which tests a resource offers.';
CREATE INDEX resource_test_by_test ON resource_test (test_id, resource_id);


-- Schedules and slots ---------------------------------------------------------------------------------------------

CREATE TABLE schedule (
  schedule_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  resource_id   integer NOT NULL REFERENCES resource,
  weekday       smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
  opens         time NOT NULL,
  closes        time NOT NULL CHECK (closes > opens),
  slot_minutes  integer NOT NULL CHECK (slot_minutes BETWEEN 1 AND 1440),
  capacity      integer NOT NULL CHECK (capacity BETWEEN 1 AND 100000),
  valid         daterange NOT NULL DEFAULT daterange(NULL, NULL) CHECK (NOT isempty(valid)),
  CONSTRAINT schedule_hours_do_not_overlap EXCLUDE USING gist (
    resource_id WITH =, weekday WITH =, valid WITH &&,
    int4range((extract(epoch FROM opens) / 60)::integer, (extract(epoch FROM closes) / 60)::integer) WITH &&)
);
COMMENT ON TABLE schedule IS 'FHIR Schedule: weekly hours of a resource in the site''s local time; weekday 1 is Monday.';

CREATE TABLE closure (
  closure_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id      integer NOT NULL REFERENCES site,
  resource_id  integer REFERENCES resource,
  during       tstzrange NOT NULL CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
  reason       text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 200),
  reopened_at  timestamptz
);
COMMENT ON TABLE closure IS 'A period in which a site, or one resource of it, takes no bookings; slots published later obey it too.';

CREATE TABLE slot (
  slot_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id      integer NOT NULL REFERENCES site,
  resource_id  integer NOT NULL REFERENCES resource,
  starts_at    timestamptz NOT NULL,
  ends_at      timestamptz NOT NULL CHECK (ends_at > starts_at AND ends_at <= starts_at + interval '1 day'),
  local_start  timestamp NOT NULL,
  capacity     integer NOT NULL CHECK (capacity BETWEEN 1 AND 100000),
  booked       integer NOT NULL DEFAULT 0,
  version      integer NOT NULL DEFAULT 1,
  status       text NOT NULL DEFAULT 'free' CHECK (status IN ('free', 'busy-unavailable', 'entered-in-error')),
  CONSTRAINT slot_booked_within_capacity CHECK (booked BETWEEN 0 AND capacity),
  CONSTRAINT slot_capacity_key UNIQUE (slot_id, capacity),
  CONSTRAINT slot_starts_once UNIQUE (resource_id, starts_at),
  CONSTRAINT slot_of_a_resource_do_not_overlap
    EXCLUDE USING gist (resource_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
) WITH (fillfactor = 80);
COMMENT ON TABLE slot IS 'FHIR Slot: a piece of a resource''s time with room for `capacity` appointments.';
COMMENT ON COLUMN slot.local_start IS 'Wall-clock start at the site; a day of the site is a range of this column.';
COMMENT ON COLUMN slot.booked IS 'First guard: how many active appointments hold a place here. Equals the occupancy rows.';
COMMENT ON COLUMN slot.version IS 'Rises with every change, so that a late cache writer never overwrites a newer value.';
COMMENT ON COLUMN slot.status IS 'What was decided about the slot. Full (`busy`) follows from the counter: see shown_status.';
CREATE INDEX slot_by_day ON slot (resource_id, local_start);

CREATE FUNCTION shown_status(s slot) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN s.status <> 'free' THEN s.status WHEN s.booked >= s.capacity THEN 'busy' ELSE 'free' END $$;
COMMENT ON FUNCTION shown_status IS 'FHIR Slot.status as people see it.';


-- Patients --------------------------------------------------------------------------------------------------------

CREATE SEQUENCE patient_number START 100001;

CREATE TABLE patient (
  patient_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  mrn          text NOT NULL UNIQUE CHECK (mrn ~ '^[A-Za-z0-9][A-Za-z0-9./-]{0,39}$'),
  name         label NOT NULL,
  birth_date   date CHECK (birth_date BETWEEN '1850-01-01' AND '2200-01-01'),
  sex          text NOT NULL DEFAULT 'unknown' CHECK (sex IN ('female', 'male', 'other', 'unknown')),
  phone        text NOT NULL DEFAULT '' CHECK (char_length(phone) <= 40),
  email        text NOT NULL DEFAULT '' CHECK (char_length(email) <= 254),
  language     text NOT NULL DEFAULT '' CHECK (char_length(language) <= 35),
  channel      text NOT NULL DEFAULT '' CHECK (channel IN ('', 'email', 'sms', 'none')),
  consent      text NOT NULL DEFAULT '' CHECK (consent IN ('', 'given', 'declined')),
  note         text NOT NULL DEFAULT '' CHECK (char_length(note) <= 2000),
  merged_into  integer REFERENCES patient CHECK (merged_into <> patient_id),
  search_name  text NOT NULL GENERATED ALWAYS AS (fold(name)) STORED,
  version      integer NOT NULL DEFAULT 1,
  created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE patient IS 'FHIR Patient. A merged record stays, so that its number on old papers still finds the person.';
COMMENT ON COLUMN patient.channel IS 'How they want to be told: email or sms, and by the other where that does not reach them; not said is email; none is not at all.';
COMMENT ON COLUMN patient.consent IS 'To messages about their own appointments: they are sent unless it was declined.';
COMMENT ON COLUMN patient.mrn IS 'Medical record number: given by the clinic or by an import, else P and six digits.';
CREATE INDEX patient_by_name ON patient USING gin (search_name gin_trgm_ops);
CREATE INDEX patient_by_phone ON patient (phone_tail(phone) text_pattern_ops) WHERE phone <> '';
CREATE INDEX patient_by_birth_date ON patient (birth_date);


-- Appointments ----------------------------------------------------------------------------------------------------

CREATE TABLE visit (
  visit_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE visit IS 'Several appointments that were booked together, all or none.';

CREATE TABLE appointment (
  appointment_id  bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  patient_id      integer NOT NULL REFERENCES patient,
  test_id         integer NOT NULL REFERENCES test,
  slot_id         integer NOT NULL REFERENCES slot,
  slots           integer[] NOT NULL CHECK (cardinality(slots) BETWEEN 1 AND 200),
  during          tstzrange NOT NULL CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)
                                            AND NOT lower_inf(during) AND NOT upper_inf(during)),
  status          appointment_status NOT NULL,
  active          boolean NOT NULL GENERATED ALWAYS AS (is_active(status)) STORED,
  held_until      timestamptz,
  visit_id        bigint REFERENCES visit,
  reason          text NOT NULL DEFAULT '' CHECK (reason ~ '^[a-z-]{0,40}$'),
  note            text NOT NULL DEFAULT '' CHECK (char_length(note) <= 2000),
  arrived_at      timestamptz,
  checked_in_at   timestamptz,
  version         integer NOT NULL DEFAULT 0,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT appointment_hold_has_an_end CHECK ((status = 'pending') = (held_until IS NOT NULL)),
  CONSTRAINT appointment_patient_in_one_place
    EXCLUDE USING gist (patient_id WITH =, during WITH &&) WHERE (active)
) WITH (fillfactor = 90);
COMMENT ON TABLE appointment IS 'FHIR Appointment. Its reference is computed from appointment_id: see reference_of.';
COMMENT ON COLUMN appointment.slot_id IS 'Where the patient''s time starts.';
COMMENT ON COLUMN appointment.slots IS 'Every slot in which it takes a place, buffers included, ascending.';
COMMENT ON COLUMN appointment.during IS 'The patient''s time, whole slots, [).';
COMMENT ON COLUMN appointment.reason IS 'Why it was cancelled: FHIR cancellation reason code (pat, pat-crs, prov, …).';
COMMENT ON COLUMN appointment.arrived_at IS 'When the desk noted it, by the clock of the database; taken back with the step.';
COMMENT ON COLUMN appointment.version IS 'Rises with every change: the SEQUENCE of the calendar message.';
CREATE INDEX appointment_by_patient ON appointment (patient_id);
CREATE INDEX appointment_held ON appointment (held_until) WHERE status = 'pending';
CREATE INDEX appointment_ended ON appointment (slot_id) WHERE NOT active;
CREATE INDEX appointment_of_visit ON appointment (visit_id) WHERE visit_id IS NOT NULL;

CREATE TABLE occupancy (
  slot_id         integer NOT NULL,
  place           integer NOT NULL,
  capacity        integer NOT NULL,
  appointment_id  bigint NOT NULL REFERENCES appointment,
  PRIMARY KEY (slot_id, place),
  CONSTRAINT occupancy_place_within_capacity CHECK (place BETWEEN 1 AND capacity),
  CONSTRAINT occupancy_capacity_is_the_slots
    FOREIGN KEY (slot_id, capacity) REFERENCES slot (slot_id, capacity) ON UPDATE CASCADE
);
COMMENT ON TABLE occupancy IS
  'Second guard: one row per place taken by an active appointment, places 1..booked without a gap. '
  'Freeing a place moves the last one into it, so taking one is always booked + 1.';

CREATE TABLE request (
  request_key     uuid PRIMARY KEY,
  fingerprint     uuid NOT NULL,
  verdict         text NOT NULL,
  numbers         jsonb,
  appointment_id  bigint REFERENCES appointment,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT request_booked_has_an_appointment
    CHECK ((verdict IN ('booked', 'held', 'rescheduled')) = (appointment_id IS NOT NULL))
);
COMMENT ON TABLE request IS 'What became of each request key: the same question always gets the same answer.';
COMMENT ON COLUMN request.fingerprint IS 'md5 of the request''s content without its key.';
CREATE INDEX request_by_time ON request USING brin (created_at) WITH (autosummarize = on);

CREATE TABLE waiting (
  waiting_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  patient_id  integer NOT NULL REFERENCES patient,
  test_id     integer NOT NULL REFERENCES test,
  site_id     integer NOT NULL REFERENCES site,
  days        daterange NOT NULL CHECK (NOT isempty(days) AND NOT lower_inf(days) AND NOT upper_inf(days)),
  created_at  timestamptz NOT NULL DEFAULT now(),
  ended_at    timestamptz,
  reason      text NOT NULL DEFAULT '' CHECK (reason IN ('', 'booked', 'removed', 'over'))
);
COMMENT ON TABLE waiting IS 'The waiting list: who is offered a place for a test at a site when one becomes free on one of the days.';
CREATE UNIQUE INDEX waiting_once ON waiting (patient_id, test_id, site_id) WHERE ended_at IS NULL;

CREATE TABLE offer (
  waiting_id      bigint NOT NULL REFERENCES waiting,
  slot_id         integer NOT NULL REFERENCES slot,
  appointment_id  bigint NOT NULL UNIQUE REFERENCES appointment,
  PRIMARY KEY (waiting_id, slot_id)
);
COMMENT ON TABLE offer IS 'Which places were held for somebody on the waiting list: each once, whatever became of it.';


-- What follows an appointment -------------------------------------------------------------------------------------

CREATE TABLE refusal (
  request_key  uuid PRIMARY KEY REFERENCES request,
  patient_id   integer NOT NULL REFERENCES patient,
  test_id      integer NOT NULL REFERENCES test,
  slot_id      integer NOT NULL REFERENCES slot
);
COMMENT ON TABLE refusal IS 'What a desk had kept while the database was away and could not be booked then: for whom, what and where.';

CREATE TABLE notification (
  notification_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  appointment_id   bigint REFERENCES appointment,
  request_key      uuid REFERENCES refusal,
  kind             text NOT NULL CHECK (kind IN ('confirmation', 'change', 'cancellation', 'reminder', 'refusal', 'offer')),
  -- Not now(): two transactions that begin in the same microsecond may change one appointment one after the other.
  moment           timestamptz NOT NULL DEFAULT clock_timestamp(),
  message_id       uuid NOT NULL DEFAULT gen_random_uuid(),
  due_at           timestamptz NOT NULL DEFAULT now(),
  attempts         integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  most_attempts    integer NOT NULL DEFAULT 10,
  leased_until     timestamptz,
  perhaps_at       timestamptz,
  recipient        text NOT NULL DEFAULT 'patient' CHECK (recipient IN ('patient', 'webhook')),
  channel          text CHECK (channel IN ('email', 'sms', 'webhook')),
  bounced          text CHECK (bounced IN ('email', 'sms')),
  sent_at          timestamptz,
  failed_at        timestamptz,
  cancelled_at     timestamptz,
  reason           text NOT NULL DEFAULT '' CHECK (reason ~ '^[a-z0-9-]{0,40}$'),
  CONSTRAINT notification_about_one_thing
    CHECK (num_nonnulls(appointment_id, request_key) = 1 AND (kind = 'refusal') = (request_key IS NOT NULL)),
  CONSTRAINT notification_of_a_refusal_once UNIQUE (request_key, recipient),
  CONSTRAINT notification_once UNIQUE (appointment_id, kind, moment, recipient),
  CONSTRAINT notification_ends_once CHECK (num_nonnulls(sent_at, failed_at, cancelled_at) <= 1)
);
COMMENT ON TABLE notification IS 'The queue that cannot lose: written in the booking''s own transaction. Its state is its times.';
COMMENT ON COLUMN notification.moment IS 'What makes it the only one of its kind: when it was made, of a reminder the time it is for.';
COMMENT ON COLUMN notification.message_id IS 'Fixed before the first attempt, so that whoever gets it twice can tell. A visit is confirmed under the first of its rows.';
COMMENT ON COLUMN notification.recipient IS 'Who is told: the patient, or the clinic''s other systems, of each message that is due to a patient.';
COMMENT ON COLUMN notification.channel IS 'By which way it was tried last.';
COMMENT ON COLUMN notification.bounced IS 'The way by which the patient cannot be reached, as was found out: after that they are told by the other.';
COMMENT ON COLUMN notification.due_at IS 'When it may be tried; whoever claims it moves this on, so that a claim that was lost is made again.';
COMMENT ON COLUMN notification.most_attempts IS 'After so many it has failed; whoever has it tried again, or by another way, allows ten more.';
COMMENT ON COLUMN notification.leased_until IS 'Until then somebody is sending it and nobody else does, by the database''s clock.';
COMMENT ON COLUMN notification.perhaps_at IS
  'By then it may have arrived, though nobody knows, or did arrive and is sent again; it stays, whatever becomes of a later attempt.';
COMMENT ON COLUMN notification.reason IS 'Why it failed or was not sent, a code: smtp-550, no-address, declined, not-booked, …; or why it waits: quiet-hours.';
CREATE INDEX notification_waiting ON notification (due_at) WHERE num_nonnulls(sent_at, failed_at, cancelled_at) = 0;
CREATE INDEX notification_of_refusals ON notification (message_id) WHERE request_key IS NOT NULL;
CREATE INDEX notification_failed ON notification (failed_at) WHERE failed_at IS NOT NULL;
CREATE INDEX notification_sent ON notification USING brin (sent_at) WITH (autosummarize = on);

CREATE TABLE audit (
  audit_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at              timestamptz NOT NULL DEFAULT now(),
  actor           text NOT NULL DEFAULT session_user,
  staff           text NOT NULL DEFAULT coalesce(current_setting('bookcli.staff', true), ''),
  source          text NOT NULL DEFAULT concat_ws(' ', current_setting('application_name'), host(inet_client_addr())),
  action          text NOT NULL,
  patient_id      integer,
  appointment_id  bigint,
  before          jsonb,
  after           jsonb
);
COMMENT ON TABLE audit IS
  'One row per change and per look at a patient, written by the kernel. No free text, so no patient data beyond the ids.';
COMMENT ON COLUMN audit.actor IS 'The machine: the role it logged in as.';
COMMENT ON COLUMN audit.staff IS 'The person: whose session it was, as `enter` found it; empty for a machine that needs none.';
COMMENT ON COLUMN audit.source IS 'From where: the program, as it calls itself, and, over a network, its address; behind a pool that of the pool.';
COMMENT ON COLUMN audit.patient_id IS 'The patient; of a look at several, after.patients has them all.';
COMMENT ON COLUMN audit.action IS 'The verb of a change, or look- and what was looked at.';
-- Rows come in the order of time, so a summary of each piece of the table finds a moment and costs a booking nothing.
CREATE INDEX audit_by_time ON audit USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

CREATE INDEX audit_of_appointment ON audit (appointment_id) WHERE appointment_id IS NOT NULL;

-- A chain inside the booking's transaction would make every desk wait for every other, so rows are chained afterwards,
-- in a table beside them: booking pays nothing for it, and a row of audit is never touched again.
CREATE TABLE seal (
  seal_number  bigint PRIMARY KEY CHECK (seal_number > 0),
  audit_id     bigint NOT NULL UNIQUE,
  sealed_at    timestamptz NOT NULL,
  hash         bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE seal IS
  'The chain over audit: rows in the order in which they were sealed, without a gap. No foreign key, so that what was '
  'deleted is found rather than repaired.';
COMMENT ON COLUMN seal.hash IS 'SHA-256 over the hash before it and what seal_hash says: any later change breaks it.';

CREATE TABLE sealing (
  one      boolean PRIMARY KEY DEFAULT true CHECK (one),
  seals    bigint NOT NULL DEFAULT 0,
  settled  bigint NOT NULL DEFAULT 0,
  seen     bigint NOT NULL DEFAULT 0,
  writers  text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE sealing IS 'Where the sealer stands, in its only row.';
COMMENT ON COLUMN sealing.settled IS 'Every audit_id up to here is sealed or will never exist: the sealer looks above it.';
COMMENT ON COLUMN sealing.seen IS 'What settled becomes when the writers have ended.';
COMMENT ON COLUMN sealing.writers IS 'Transactions (pg_locks.virtualtransaction) that may yet commit an audit_id up to seen.';
INSERT INTO sealing DEFAULT VALUES;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
COMMENT ON FUNCTION refuse_change IS
  'For the owner too. A superuser can disable the trigger: then `bookcli db check` and verify_audit find it.';
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER seal_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON seal
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The gateway: who is asking ----------------------------------------------------------------------------------------
-- Every granted function begins with `enter`. The machine is the role it logged in as; the person is a session, whose
-- random token every call carries and of which only a hash is kept. Passwords never come here: a desk stretches one with
-- argon2id (RFC 9106) and sends the key, of which a hash is kept too.

CREATE TYPE staff_role AS ENUM ('desk', 'manager', 'auditor', 'worker');

CREATE TABLE permission (
  permission  text PRIMARY KEY,
  meaning     label NOT NULL
);
COMMENT ON TABLE permission IS 'What somebody may be allowed to do.';
INSERT INTO permission VALUES
  ('see-patients', 'find patients, see the day and what a patient has booked'),
  ('edit-patients', 'add, change and merge patients'),
  ('book', 'book, hold, move and cancel, and note who came'),
  ('record-history', 'record appointments of the past'),
  ('manage-schedules', 'hours, slots and closures'),
  ('manage-capacity', 'how many a slot takes'),
  ('manage-catalog', 'sites, tests and resources'),
  ('manage-staff', 'who works here, as what, and their sessions'),
  ('export', 'write all patients or appointments into a file'),
  ('read-audit', 'read who did and saw what'),
  ('seal-audit', 'chain what is new in the audit'),
  ('verify', 'count the invariants and prove the audit'),
  ('expire-holds', 'give back the places of holds whose time is over'),
  ('remind', 'make the reminders that are due'),
  ('publish-hours', 'open the slots that weekly hours say'),
  ('send', 'send messages and replay kept requests');

CREATE TABLE role_permission (
  role        text NOT NULL CHECK (role IN ('desk', 'manager', 'auditor', 'worker', 'owner')),
  permission  text NOT NULL REFERENCES permission,
  PRIMARY KEY (role, permission)
);
COMMENT ON TABLE role_permission IS
  'Who may do what: the roles of people, and of two kinds of machine that need no session, `worker` (members of '
  'bookcli_worker) and `owner` (whoever may become bookcli_owner), who keeps the house but sees no patient.';
INSERT INTO role_permission
  SELECT role, permission
    FROM (VALUES
      ('desk', '{see-patients,edit-patients,book,expire-holds}'::text[]),
      ('manager', '{see-patients,edit-patients,book,expire-holds,record-history,manage-schedules,manage-capacity,manage-catalog,manage-staff,export,read-audit,seal-audit,verify,remind}'),
      ('auditor', '{read-audit,seal-audit,verify}'),
      ('worker', '{send,remind,expire-holds,publish-hours,seal-audit,verify}'),
      ('owner', '{manage-staff,seal-audit,verify}')) AS roles (role, permissions),
    LATERAL unnest(permissions) AS permission;

CREATE TABLE staff (
  staff_id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name            text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?$'),
  full_name       label NOT NULL,
  role            staff_role NOT NULL,
  sites           integer[] CHECK (cardinality(sites) > 0),
  salt            bytea CHECK (octet_length(salt) BETWEEN 16 AND 64),
  passes          integer CHECK (passes BETWEEN 1 AND 64),
  memory_kib      integer CHECK (memory_kib BETWEEN 8192 AND 4194304),
  lanes           integer CHECK (lanes BETWEEN 1 AND 64),
  key_hash        bytea CHECK (octet_length(key_hash) = 32),
  must_change     boolean NOT NULL DEFAULT false,
  disabled_at     timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT staff_password_is_whole CHECK (num_nulls(salt, passes, memory_kib, lanes, key_hash) IN (0, 5))
);
COMMENT ON TABLE staff IS 'Who works here. Nobody is ever deleted, because the audit names them.';
COMMENT ON COLUMN staff.sites IS 'The sites they book and change at and whose day they see; NULL: all.';
COMMENT ON COLUMN staff.key_hash IS 'SHA-256 of the password stretched by argon2id with salt, passes, memory_kib and lanes. NULL: no password.';
COMMENT ON COLUMN staff.must_change IS 'Somebody else chose the password: nothing can be done but to change it.';

CREATE TABLE session (
  session_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  staff_id    integer NOT NULL REFERENCES staff,
  token_hash  bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
  actor       text NOT NULL DEFAULT session_user,
  source      text NOT NULL DEFAULT concat_ws(' ', current_setting('application_name'), host(inet_client_addr())),
  started_at  timestamptz NOT NULL DEFAULT now(),
  seen_at     timestamptz NOT NULL DEFAULT now(),
  idle        interval NOT NULL CHECK (idle > interval '0'),
  expires_at  timestamptz NOT NULL,
  locked_at   timestamptz,
  ended_at    timestamptz,
  ended_by    text
);
COMMENT ON TABLE session IS 'Who is or was signed in. A token is known by its SHA-256 alone.';
COMMENT ON COLUMN session.seen_at IS 'To the minute: written at most once a minute.';
CREATE INDEX session_of_staff ON session (staff_id) WHERE ended_at IS NULL;

CREATE TABLE sign_in_attempt (
  name_hash     bytea PRIMARY KEY,
  failures      integer NOT NULL DEFAULT 0,
  locked_until  timestamptz,
  last_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sign_in_attempt IS
  'Failures by the name that was typed, whether or not anybody has it: known and unknown names are answered alike. '
  'Hashed with a secret, because people type passwords there.';

CREATE TABLE gateway (
  one             boolean PRIMARY KEY DEFAULT true CHECK (one),
  secret          bytea NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
  idle            interval NOT NULL DEFAULT '30 minutes' CHECK (idle BETWEEN '1 minute' AND '1 day'),
  longest         interval NOT NULL DEFAULT '12 hours' CHECK (longest BETWEEN '1 minute' AND '30 days'),
  free_failures   integer NOT NULL DEFAULT 5 CHECK (free_failures BETWEEN 1 AND 20),
  first_wait      interval NOT NULL DEFAULT '30 seconds' CHECK (first_wait > '0'),
  longest_wait    interval NOT NULL DEFAULT '15 minutes' CHECK (longest_wait > '0'),
  passes          integer NOT NULL DEFAULT 2 CHECK (passes BETWEEN 1 AND 64),
  memory_kib      integer NOT NULL DEFAULT 19456 CHECK (memory_kib BETWEEN 8192 AND 4194304),
  lanes           integer NOT NULL DEFAULT 1 CHECK (lanes BETWEEN 1 AND 64)
);
COMMENT ON TABLE gateway IS
  'The rules of signing in, in their only row. The argon2id parameters are the least a new password is stretched with, by '
  'default as in the OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane. A password that was stretched less is '
  'stretched anew when its owner signs in.';
INSERT INTO gateway DEFAULT VALUES;

CREATE TYPE acting AS (staff_id integer, name text, role text, sites integer[], session_id bigint);
COMMENT ON TYPE acting IS 'Whoever makes this call; for a machine without a session only the role.';

CREATE FUNCTION token_hash(token text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT sha256(convert_to(token, 'UTF8')) $$;

CREATE FUNCTION machine_role() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN pg_has_role(session_user, 'bookcli_owner', 'MEMBER') THEN 'owner'
              WHEN pg_has_role(session_user, 'bookcli_worker', 'MEMBER') THEN 'worker' END
$$;
COMMENT ON FUNCTION machine_role IS 'What a machine is without anybody''s session; NULL for a desk. A superuser is an owner and never a worker.';

CREATE FUNCTION deny(why text, wanted text, who acting DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  -- The exception takes back whatever this transaction wrote, so the attempt is in the server's log.
  RAISE LOG 'bookcli denied % to % (staff % session %): %', wanted,
    concat_ws(' ', session_user, current_setting('application_name'), host(inet_client_addr())),
    who.name, who.session_id, why;
  RAISE EXCEPTION '%', why USING ERRCODE = 'insufficient_privilege';
END $$;
COMMENT ON FUNCTION deny IS 'Ends the call with 42501; the message is a code: not-signed-in, session-expired, session-locked, password-change-needed, forbidden.';

CREATE FUNCTION refuse_value(rule text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a value is not allowed' USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;
COMMENT ON FUNCTION refuse_value IS
  'Ends the call as the rule would, before the rule does: its own words quote the whole row, which nobody has looked at then.';

CREATE FUNCTION session_problem(s session, f staff) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN s.ended_at IS NOT NULL OR s.expires_at <= now() OR s.seen_at + s.idle <= now() OR f.disabled_at IS NOT NULL
              THEN 'session-expired'
              WHEN s.locked_at IS NOT NULL THEN 'session-locked'
              WHEN f.must_change THEN 'password-change-needed' END
$$;
COMMENT ON FUNCTION session_problem IS 'Why a session opens nothing, or NULL when it is live.';

CREATE FUNCTION may(who acting, wanted text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM role_permission p WHERE p.role = who.role AND p.permission = wanted) $$;

CREATE FUNCTION keep_on_disk() RETURNS void LANGUAGE sql AS
$$ SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local'); $$;
COMMENT ON FUNCTION keep_on_disk IS
  'What this transaction promises is on disk, and on the standby, before it is acknowledged, whatever a client has set: behind a '
  'pool that may have been another client. A function that promises nothing says so afterwards.';

CREATE FUNCTION enter(token text, wanted text) RETURNS acting
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  who      acting;
  problem  text;
  seen     timestamptz;
  allowed  boolean;
BEGIN
  IF token IS NULL THEN
    who.role := machine_role();
    IF who.role IS NULL OR NOT may(who, wanted) THEN
      PERFORM deny('not-signed-in', wanted);
    END IF;
    PERFORM set_config('bookcli.staff', '', true);
    -- Asked here too, because a call costs more than the question.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
      PERFORM keep_on_disk();
    END IF;
    RETURN who;
  END IF;
  SELECT f.staff_id, f.name, f.role::text, f.sites, s.session_id, session_problem(s, f), s.seen_at,
         EXISTS (SELECT FROM role_permission p WHERE p.role = f.role::text AND p.permission = wanted)
    INTO who.staff_id, who.name, who.role, who.sites, who.session_id, problem, seen, allowed
    FROM session s JOIN staff f USING (staff_id) WHERE s.token_hash = token_hash(token);
  IF who.staff_id IS NULL THEN
    PERFORM deny('session-expired', wanted);
  ELSIF problem IS NOT NULL THEN
    PERFORM deny(problem, wanted, who);
  ELSIF NOT allowed THEN
    PERFORM deny('forbidden', wanted, who);
  END IF;
  PERFORM set_config('bookcli.staff', who.name, true);
  IF current_setting('synchronous_commit') IN ('off', 'local') THEN
    PERFORM keep_on_disk();
  END IF;
  IF seen < now() - interval '1 minute' AND NOT current_setting('transaction_read_only')::boolean THEN
    -- Nobody waits for this row: whoever else is at it writes the same minute.
    UPDATE session SET seen_at = now()
     WHERE session_id = (SELECT s.session_id FROM session s WHERE s.session_id = who.session_id FOR NO KEY UPDATE SKIP LOCKED);
  END IF;
  RETURN who;
END $$;
COMMENT ON FUNCTION enter IS
  'The door: whoever makes this call, if a live session (or, without one, the machine''s role) has the permission. Whose name '
  'the audit will write is settled here, after anything a client could have set. Raises 42501 as `deny`.';

CREATE FUNCTION stay_within(who acting, at_sites integer[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF who.sites IS NOT NULL AND NOT at_sites <@ who.sites THEN
    PERFORM deny('forbidden', 'another site', who);
  END IF;
END $$;
COMMENT ON FUNCTION stay_within IS 'Raises forbidden for somebody who is bound to other sites.';

CREATE FUNCTION site_of(which bigint) RETURNS integer[] LANGUAGE sql STABLE AS
$$ SELECT ARRAY(SELECT s.site_id FROM appointment a JOIN slot s USING (slot_id) WHERE a.appointment_id = which) $$;
COMMENT ON FUNCTION site_of IS 'The site of an appointment, as an array; empty when there is none.';

CREATE FUNCTION sign_in_parameters(login text) RETURNS TABLE (
  salt bytea, passes integer, memory_kib integer, lanes integer, least_passes integer, least_memory_kib integer, least_lanes integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
  SELECT coalesce(f.salt, substr(sha256(g.secret || 'salt' || convert_to(lower(login), 'UTF8')), 1, 16)),
         coalesce(f.passes, x.passes, g.passes), coalesce(f.memory_kib, x.memory_kib, g.memory_kib), coalesce(f.lanes, x.lanes, g.lanes),
         g.passes, g.memory_kib, g.lanes
    FROM gateway g
    LEFT JOIN staff f ON f.name = lower(login) AND f.key_hash IS NOT NULL
    -- Nobody has that name: the answer is somebody's, always the same, with a salt that looks like any other. Looked for also
    -- when somebody has it, so that it takes as long.
    LEFT JOIN LATERAL (
      SELECT o.passes, o.memory_kib, o.lanes FROM staff o
       WHERE o.key_hash IS NOT NULL
       ORDER BY sha256(g.secret || convert_to(lower(login) || ' ' || o.staff_id, 'UTF8')) LIMIT 1) x ON true
$$;
COMMENT ON FUNCTION sign_in_parameters IS
  'How a desk stretches the password of a name, and the least a new one is stretched with; an unknown name is answered just '
  'like a known one.';

CREATE FUNCTION open_session(who integer, session_idle interval, session_longest interval) RETURNS TABLE (token text, expires_at timestamptz, idle_seconds integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  -- 366 random bits from the server's own strong source, of which 256 are kept.
  made text := encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
  one session;
BEGIN
  INSERT INTO session (staff_id, token_hash, idle, expires_at)
  VALUES (who, token_hash(made), session_idle, now() + session_longest) RETURNING * INTO one;
  INSERT INTO audit (action, staff, after)
  SELECT 'sign-in', f.name, jsonb_build_object('session', one.session_id, 'role', f.role) FROM staff f WHERE f.staff_id = who;
  RETURN QUERY SELECT made, one.expires_at, extract(epoch FROM session_idle)::integer;
END $$;
COMMENT ON FUNCTION open_session IS 'A session with a new random token of 256 bits, of which only this answer has the text.';

CREATE FUNCTION end_sessions(which bigint[], why text, by_whom text) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  done integer;
BEGIN
  WITH ended AS (
    UPDATE session SET ended_at = now(), ended_by = why WHERE session_id = ANY (which) AND ended_at IS NULL
    RETURNING session_id, staff_id
  ), noted AS (
    INSERT INTO audit (action, staff, after)
    SELECT 'sign-out', by_whom, jsonb_build_object('session', e.session_id, 'of', f.name, 'why', why)
      FROM ended e JOIN staff f USING (staff_id)
  )
  SELECT count(*) INTO done FROM ended;
  RETURN done;
END $$;
COMMENT ON FUNCTION end_sessions IS 'Ends sessions and writes down whose, why and by whom; how many were live.';

CREATE FUNCTION sessions_of(who integer, but bigint DEFAULT NULL) RETURNS bigint[] LANGUAGE sql STABLE AS
$$ SELECT ARRAY(SELECT s.session_id FROM session s WHERE s.staff_id = who AND s.ended_at IS NULL AND s.session_id IS DISTINCT FROM but) $$;

CREATE FUNCTION check_password(login text, stretched bytea) RETURNS TABLE (verdict text, staff_id integer, wait_seconds integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  rules    gateway;
  attempt  sign_in_attempt;
  found    staff;
  moment   timestamptz;
  spelled  bytea;
BEGIN
  SELECT * INTO rules FROM gateway;
  spelled := sha256(rules.secret || 'name' || convert_to(lower(login), 'UTF8'));
  -- The row is locked until the answer is written, so guessing at one name from many desks at once wins nothing. In one
  -- statement, because between two the right password of somebody else may take the row away.
  INSERT INTO sign_in_attempt AS a (name_hash) VALUES (spelled)
      ON CONFLICT (name_hash) DO UPDATE SET failures = a.failures RETURNING * INTO attempt;
  moment := clock_timestamp();
  SELECT * INTO found FROM staff f WHERE f.name = lower(login);
  IF attempt.locked_until > moment THEN
    INSERT INTO audit (action, staff, after) VALUES ('sign-in-refused', coalesce(found.name, ''), '{"why": "locked"}');
    RETURN QUERY SELECT 'locked', NULL::integer, ceil(extract(epoch FROM attempt.locked_until - moment))::integer;
  ELSIF stretched IS NULL OR found.key_hash IS DISTINCT FROM sha256(stretched) OR found.disabled_at IS NOT NULL THEN
    UPDATE sign_in_attempt a
       SET failures = a.failures + 1, last_at = moment,
           locked_until = CASE WHEN a.failures + 1 >= rules.free_failures
                               THEN moment + least(rules.first_wait * 2 ^ least(a.failures + 1 - rules.free_failures, 20), rules.longest_wait) END
     WHERE a.name_hash = spelled RETURNING * INTO attempt;
    -- A name that nobody has may be a password: it is not written down.
    INSERT INTO audit (action, staff, after)
    VALUES ('sign-in-refused', coalesce(found.name, ''), jsonb_build_object('why', 'credentials', 'failures', attempt.failures));
    RETURN QUERY SELECT 'wrong-credentials', NULL::integer, coalesce(ceil(extract(epoch FROM attempt.locked_until - moment)), 0)::integer;
  ELSE
    DELETE FROM sign_in_attempt a WHERE a.name_hash = spelled;
    RETURN QUERY SELECT 'right', found.staff_id, 0;
  END IF;
END $$;
COMMENT ON FUNCTION check_password IS
  'right, wrong-credentials or locked. After some failures the name is locked, each time twice as long; a wrong password, an '
  'unknown name and a disabled person get the same answer.';

CREATE FUNCTION sign_in(login text, stretched bytea, previous text DEFAULT NULL)
RETURNS TABLE (verdict text, token text, name text, full_name text, role text, expires_at timestamptz, idle_seconds integer,
               must_change boolean, wait_seconds integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  answer record;
BEGIN
  SELECT * INTO answer FROM check_password(login, stretched);
  IF answer.verdict <> 'right' THEN
    RETURN QUERY SELECT answer.verdict, NULL::text, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::integer, NULL::boolean,
                        answer.wait_seconds;
    RETURN;
  END IF;
  -- Nobody waits for a row here: two who sign in could wait for each other's.
  DELETE FROM sign_in_attempt WHERE name_hash IN (
    SELECT a.name_hash FROM sign_in_attempt a
     WHERE a.last_at < now() - interval '1 day' AND coalesce(a.locked_until, now()) <= now() FOR UPDATE SKIP LOCKED);
  PERFORM end_sessions(ARRAY(SELECT s.session_id FROM session s WHERE s.token_hash = token_hash(previous)), 'switched', f.name)
     FROM staff f WHERE f.staff_id = answer.staff_id;
  RETURN QUERY
    SELECT 'signed-in', o.token, f.name, f.full_name::text, f.role::text, o.expires_at, o.idle_seconds, f.must_change, 0
      FROM staff f, gateway g, LATERAL open_session(f.staff_id, g.idle, g.longest) o WHERE f.staff_id = answer.staff_id;
END $$;
COMMENT ON FUNCTION sign_in IS
  'Opens a session for a name and its stretched password, and ends the one the desk had before; or as check_password.';

CREATE FUNCTION sign_in_here(login text, as_role staff_role DEFAULT 'manager') RETURNS TABLE (token text, expires_at timestamptz, idle_seconds integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  who integer;
BEGIN
  IF NOT pg_has_role(session_user, 'bookcli_owner', 'MEMBER') THEN
    PERFORM deny('forbidden', 'sign-in-here');
  END IF;
  INSERT INTO staff (name, full_name, role) VALUES (login, login, as_role) ON CONFLICT (name) DO NOTHING;
  SELECT f.staff_id INTO who FROM staff f WHERE f.name = login AND f.disabled_at IS NULL;
  IF who IS NULL THEN
    PERFORM deny('forbidden', 'sign-in-here');
  END IF;
  RETURN QUERY SELECT * FROM open_session(who, '30 days', '30 days');
END $$;
COMMENT ON FUNCTION sign_in_here IS
  'For whoever owns the database, as with the embedded servers: they need no password to be somebody. Audited like any other.';

CREATE FUNCTION sign_out(token text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
  SELECT end_sessions(array_agg(s.session_id), 'signed out', max(f.name)) > 0
    FROM session s JOIN staff f USING (staff_id) WHERE s.token_hash = token_hash(token)
$$;
COMMENT ON FUNCTION sign_out IS 'Ends a session; false when it had ended. Safe to repeat.';

CREATE FUNCTION lock_session(token text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
  WITH locked AS (
    UPDATE session s SET locked_at = coalesce(s.locked_at, now()) FROM staff f
     WHERE s.token_hash = token_hash(token) AND f.staff_id = s.staff_id AND s.ended_at IS NULL RETURNING s.session_id, f.name
  ), noted AS (
    INSERT INTO audit (action, staff, after) SELECT 'lock', name, jsonb_build_object('session', session_id) FROM locked
  )
  SELECT EXISTS (SELECT FROM locked)
$$;
COMMENT ON FUNCTION lock_session IS 'Makes a session useless until its owner signs in again; false when it had ended.';

CREATE FUNCTION whoami(token text) RETURNS TABLE (
  name text, full_name text, role text, sites text[], session_id bigint, started_at timestamptz, seen_at timestamptz,
  expires_at timestamptz, idle_seconds integer, problem text, permissions text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
  SELECT f.name, f.full_name::text, f.role::text, ARRAY(SELECT p.code::text FROM site p WHERE p.site_id = ANY (f.sites) ORDER BY p.code),
         s.session_id, s.started_at, s.seen_at, s.expires_at, extract(epoch FROM s.idle)::integer, session_problem(s, f),
         ARRAY(SELECT r.permission FROM role_permission r WHERE r.role = f.role::text ORDER BY 1)
    FROM session s JOIN staff f USING (staff_id) WHERE s.token_hash = token_hash(token)
$$;
COMMENT ON FUNCTION whoami IS 'Whose session a token is, what they may do, and `problem` when it opens nothing; no row for a token that never was.';

CREATE FUNCTION set_password(of integer, key bytea, new_salt bytea, new_passes integer, new_memory_kib integer, new_lanes integer, must boolean) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  rule text;
BEGIN
  IF octet_length(key) IS DISTINCT FROM 32 THEN
    RAISE EXCEPTION 'a stretched password has 32 bytes' USING ERRCODE = 'check_violation';
  ELSIF EXISTS (SELECT FROM gateway g WHERE new_memory_kib < g.memory_kib OR new_passes < g.passes OR new_lanes < g.lanes) THEN
    RAISE EXCEPTION 'stretched less than gateway says' USING ERRCODE = 'check_violation', CONSTRAINT = 'password-stretched-too-little';
  END IF;
  UPDATE staff SET salt = new_salt, passes = new_passes, memory_kib = new_memory_kib, lanes = new_lanes,
         key_hash = sha256(key), must_change = must
   WHERE staff_id = of;
EXCEPTION WHEN check_violation OR not_null_violation THEN
  GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
  PERFORM refuse_value(rule);
END $$;

CREATE FUNCTION change_password(token text, old bytea, key bytea, salt bytea, passes integer, memory_kib integer, lanes integer,
                                only_stretched boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  mine session; who staff; answer record; why text;
BEGIN
  SELECT * INTO mine FROM session s WHERE s.token_hash = token_hash(token);
  SELECT * INTO who FROM staff f WHERE f.staff_id = mine.staff_id FOR NO KEY UPDATE;
  why := coalesce(session_problem(mine, who), CASE WHEN who.staff_id IS NULL THEN 'session-expired' END);
  IF why IN ('session-expired', 'session-locked') THEN
    PERFORM deny(why, 'change-password');
  ELSIF who.key_hash IS NOT NULL THEN
    -- A stolen session must not be able to guess: the old password is checked as at the door, its failures counted.
    SELECT * INTO answer FROM check_password(who.name, old);
    IF answer.verdict <> 'right' THEN
      RETURN answer.verdict;
    END IF;
  END IF;
  PERFORM set_password(who.staff_id, key, salt, passes, memory_kib, lanes, only_stretched AND who.must_change);
  INSERT INTO audit (action, staff) VALUES (CASE WHEN only_stretched THEN 'restretch-password' ELSE 'change-password' END, who.name);
  IF NOT only_stretched THEN
    PERFORM end_sessions(sessions_of(who.staff_id, mine.session_id), 'password changed', who.name);
  END IF;
  RETURN 'changed';
END $$;
COMMENT ON FUNCTION change_password IS
  'Gives the session''s owner a new password and ends their other sessions; `only_stretched`: the same one, stretched more. '
  'changed, or as check_password. The only thing a session can do whose password must be changed.';

CREATE FUNCTION last_manager(but integer) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (SELECT FROM staff f WHERE f.role = 'manager' AND f.disabled_at IS NULL AND f.staff_id <> but)
     AND EXISTS (SELECT FROM staff f WHERE f.role = 'manager' AND f.disabled_at IS NULL AND f.staff_id = but)
$$;

CREATE FUNCTION sites_of(codes text[]) RETURNS integer[] LANGUAGE sql STABLE AS
$$ SELECT nullif(ARRAY(SELECT p.site_id FROM site p WHERE p.code = ANY (codes) ORDER BY 1), '{}') $$;

CREATE FUNCTION stay_within_own(who acting, theirs integer[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF who.sites IS NOT NULL AND (theirs <@ who.sites) IS NOT TRUE THEN
    PERFORM deny('forbidden', 'staff of another site', who);
  END IF;
END $$;
COMMENT ON FUNCTION stay_within_own IS
  'Raises forbidden for somebody who is bound to sites and reaches for a person who works at others, or at all (NULL): else they would '
  'free themselves, or sign in as somebody who is free.';

CREATE FUNCTION add_staff(login text, called text, as_role staff_role, at_sites text[], key bytea, salt bytea, passes integer,
                          memory_kib integer, lanes integer, token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-staff');
  made integer;
BEGIN
  IF EXISTS (SELECT FROM unnest(at_sites) c WHERE NOT EXISTS (SELECT FROM site p WHERE p.code = c)) THEN
    RETURN 'site-unknown';
  END IF;
  PERFORM stay_within_own(acting, sites_of(at_sites));
  INSERT INTO staff (name, full_name, role, sites) VALUES (lower(login), called, as_role, sites_of(at_sites))
      ON CONFLICT (name) DO NOTHING RETURNING staff_id INTO made;
  IF made IS NULL THEN
    RETURN 'name-taken';
  END IF;
  -- The first manager, made by whoever owns the database, chooses their own password; anybody later gets one to be changed.
  PERFORM set_password(made, key, salt, passes, memory_kib, lanes, acting.staff_id IS NOT NULL);
  INSERT INTO audit (action, after) VALUES ('add-staff', jsonb_build_object('name', lower(login), 'role', as_role, 'sites', at_sites));
  RETURN 'created';
END $$;
COMMENT ON FUNCTION add_staff IS 'Creates somebody with a password that must be changed at the first sign-in: created, name-taken or site-unknown.';

CREATE FUNCTION change_staff(login text, new_role staff_role DEFAULT NULL, new_sites text[] DEFAULT NULL, enabled boolean DEFAULT NULL,
                             token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-staff');
  old staff; new staff;
BEGIN
  -- One at a time, so that two managers cannot each take the other's place as the last one.
  PERFORM FROM staff f WHERE f.role = 'manager' ORDER BY f.staff_id FOR NO KEY UPDATE;
  SELECT * INTO old FROM staff f WHERE f.name = lower(login) FOR NO KEY UPDATE;
  IF old.staff_id IS NULL THEN
    RETURN 'staff-unknown';
  ELSIF EXISTS (SELECT FROM unnest(new_sites) c WHERE NOT EXISTS (SELECT FROM site p WHERE p.code = c)) THEN
    RETURN 'site-unknown';
  ELSIF (new_role <> 'manager' OR NOT enabled) AND last_manager(old.staff_id) THEN
    RETURN 'last-manager';
  END IF;
  PERFORM stay_within_own(acting, old.sites), stay_within_own(acting, CASE WHEN new_sites IS NULL THEN old.sites ELSE sites_of(new_sites) END);
  UPDATE staff f SET role = coalesce(new_role, f.role),
         sites = CASE WHEN new_sites IS NULL THEN f.sites ELSE sites_of(new_sites) END,
         disabled_at = CASE WHEN enabled THEN NULL WHEN NOT enabled THEN coalesce(f.disabled_at, now()) ELSE f.disabled_at END
   WHERE f.staff_id = old.staff_id RETURNING * INTO new;
  IF new IS NOT DISTINCT FROM old THEN
    RETURN 'unchanged';
  END IF;
  INSERT INTO audit (action, before, after)
  SELECT 'change-staff', d.before || jsonb_build_object('name', old.name), d.after || jsonb_build_object('name', old.name)
    FROM (SELECT jsonb_object_agg(k, to_jsonb(old) -> k) AS before, jsonb_object_agg(k, to_jsonb(new) -> k) AS after
            FROM unnest(ARRAY['role', 'sites', 'disabled_at']) k WHERE to_jsonb(old) -> k IS DISTINCT FROM to_jsonb(new) -> k) d;
  IF new.disabled_at IS NOT NULL THEN
    PERFORM end_sessions(sessions_of(old.staff_id), 'disabled', acting.name);
  END IF;
  RETURN 'changed';
END $$;
COMMENT ON FUNCTION change_staff IS
  'Another role, other sites ({}: all), disabled or enabled; it counts from the next call of their sessions on. The last '
  'manager stays one: last-manager.';

CREATE FUNCTION reset_password(login text, key bytea, salt bytea, passes integer, memory_kib integer, lanes integer, token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-staff');
  who staff;
BEGIN
  SELECT * INTO who FROM staff f WHERE f.name = lower(login) FOR NO KEY UPDATE;
  IF who.staff_id IS NULL THEN
    RETURN 'staff-unknown';
  END IF;
  PERFORM stay_within_own(acting, who.sites);
  PERFORM set_password(who.staff_id, key, salt, passes, memory_kib, lanes, true);
  DELETE FROM sign_in_attempt a USING gateway g WHERE a.name_hash = sha256(g.secret || 'name' || convert_to(who.name, 'UTF8'));
  INSERT INTO audit (action, after) VALUES ('reset-password', jsonb_build_object('name', who.name));
  PERFORM end_sessions(sessions_of(who.staff_id), 'password reset', acting.name);
  RETURN 'changed';
END $$;
COMMENT ON FUNCTION reset_password IS 'A password that must be changed at the next sign-in; unlocks the name and ends its sessions.';

CREATE FUNCTION list_staff(token text DEFAULT NULL) RETURNS TABLE (
  name text, full_name text, role text, sites text[], has_password boolean, must_change boolean, disabled_at timestamptz, live_sessions integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'manage-staff');
  RETURN QUERY
    SELECT f.name, f.full_name::text, f.role::text, ARRAY(SELECT p.code::text FROM site p WHERE p.site_id = ANY (f.sites) ORDER BY p.code),
           f.key_hash IS NOT NULL, f.must_change, f.disabled_at,
           (SELECT count(*)::integer FROM session s
             WHERE s.staff_id = f.staff_id AND s.ended_at IS NULL AND session_problem(s, f) IS DISTINCT FROM 'session-expired')
      FROM staff f ORDER BY f.name;
END $$;
COMMENT ON FUNCTION list_staff IS 'Everybody, without anything of their passwords.';

CREATE FUNCTION list_sessions(token text DEFAULT NULL) RETURNS TABLE (
  session_id bigint, name text, role text, machine text, source text, started_at timestamptz, seen_at timestamptz, expires_at timestamptz,
  locked boolean, own boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-staff');
BEGIN
  RETURN QUERY
    SELECT s.session_id, f.name, f.role::text, s.actor, s.source, s.started_at, s.seen_at, s.expires_at, s.locked_at IS NOT NULL,
           s.session_id IS NOT DISTINCT FROM acting.session_id
      FROM session s JOIN staff f USING (staff_id)
     WHERE s.ended_at IS NULL AND session_problem(s, f) IS DISTINCT FROM 'session-expired'
     ORDER BY s.session_id;
END $$;
COMMENT ON FUNCTION list_sessions IS 'The sessions that are live or locked, oldest first.';

CREATE FUNCTION revoke_sessions(login text, which bigint, token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-staff');
BEGIN
  PERFORM stay_within_own(acting, f.sites) FROM session s JOIN staff f USING (staff_id)
    WHERE s.ended_at IS NULL AND (f.name = lower(login) OR s.session_id = which);
  RETURN end_sessions(
    ARRAY(SELECT s.session_id FROM session s JOIN staff f USING (staff_id)
           WHERE s.ended_at IS NULL AND (f.name = lower(login) OR s.session_id = which)), 'revoked', acting.name);
END $$;
COMMENT ON FUNCTION revoke_sessions IS 'Ends one session by its number, or all of a name; how many were live.';


-- The kernel: finding the slots a request is about ----------------------------------------------------------------

CREATE TYPE item AS (
  ord             integer,
  request_key     uuid,
  fingerprint     uuid,
  patient_id      integer,
  test_id         integer,
  slot_id         integer,
  slots           integer[],
  during          tstzrange,
  chosen          boolean,
  interval_days   integer,
  hold_seconds    integer,
  status          appointment_status,
  history         boolean,
  again           boolean,
  moves           bigint,
  note            text,
  verdict         text,
  numbers         jsonb,
  appointment_id  bigint,
  won             boolean
);
COMMENT ON TYPE item IS
  'A request on its way through the kernel. `verdict` is NULL until decided; `chosen`: the kernel picked the slot; '
  '`again`: a stored refusal is judged anew; `moves`: the appointment that is being rescheduled; `won`: to be written.';

CREATE TYPE run AS (slots integer[], during tstzrange, room integer, closed boolean);
COMMENT ON TYPE run IS 'Consecutive slots: `during` is NULL when the test does not fit, `room` the places left in the fullest.';

CREATE FUNCTION run_of(wanted_slot integer, wanted_test integer) RETURNS run
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  result run;
  lapsed integer[];
BEGIN
  SELECT array_agg(u.slot_id) INTO lapsed FROM appointment h CROSS JOIN LATERAL unnest(h.slots) u (slot_id)
   WHERE h.status = 'pending' AND h.held_until <= now();
  SELECT array_agg(r.slot_id ORDER BY r.slot_id),
         CASE WHEN sum(r.ends_at - r.starts_at) FILTER (WHERE r.in_test)
                   = max(r.ends_at) FILTER (WHERE r.in_test) - r.begins
               AND max(r.ends_at) FILTER (WHERE r.in_test) >= r.done
              THEN tstzrange(r.begins, max(r.ends_at) FILTER (WHERE r.in_test)) END,
         min(r.capacity - r.booked + coalesce(cardinality(array_positions(lapsed, r.slot_id)), 0)), bool_or(r.status <> 'free')
    INTO result.slots, result.during, result.room, result.closed
    FROM (SELECT n.*, w.begins, w.done, n.starts_at >= w.begins AND n.starts_at < w.done AS in_test
            FROM (SELECT s.resource_id, s.starts_at AS begins,
                         s.starts_at + make_interval(mins => t.duration_minutes) AS done,
                         make_interval(mins => t.buffer_before_minutes) AS before,
                         make_interval(mins => t.buffer_after_minutes) AS after
                    FROM slot s, test t
                   WHERE s.slot_id = wanted_slot AND t.test_id = wanted_test) w
            JOIN slot n ON n.resource_id = w.resource_id
             AND n.starts_at >= CASE WHEN w.before = interval '0' THEN w.begins ELSE w.begins - w.before - interval '1 day' END
             AND n.starts_at < w.done + w.after
             AND n.ends_at > w.begins - w.before) r
   GROUP BY r.begins, r.done;
  RETURN result;
END $$;
COMMENT ON FUNCTION run_of IS
  'The slots a test takes when it starts at a slot: enough consecutive ones to cover its duration, and those of the '
  'same resource that lie in its buffers (outside opening hours a buffer needs no slot). Expired holds count as free.';

CREATE FUNCTION pick(
  wanted_site integer, wanted_test integer, wanted_day date, wanted_start timestamptz,
  for_patient integer, for_history boolean, turn bigint) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  taken tstzmultirange;
  lapsed integer[];
BEGIN
  SELECT array_agg(u.slot_id) INTO lapsed FROM appointment h CROSS JOIN LATERAL unnest(h.slots) u (slot_id)
   WHERE h.status = 'pending' AND h.held_until <= now();
  SELECT range_agg(a.during) INTO taken FROM appointment a
   WHERE a.active AND a.patient_id = for_patient AND (a.held_until <= now()) IS NOT TRUE
     AND a.during && tstzrange(wanted_day - interval '2 days', wanted_day + interval '3 days');
  RETURN (
    SELECT c.slot_id
      FROM (SELECT s.slot_id, s.starts_at,
                   sum(greatest(s.capacity - s.booked, (s.slot_id = ANY (lapsed))::integer)) OVER (ORDER BY s.starts_at, s.slot_id) AS places
              FROM test t
              JOIN resource_test o ON o.test_id = t.test_id
              JOIN resource m ON m.resource_id = o.resource_id AND m.site_id = wanted_site AND m.active
              JOIN slot s ON s.resource_id = m.resource_id
               AND s.site_id = wanted_site AND s.local_start >= wanted_day AND s.local_start < wanted_day + 1
             CROSS JOIN LATERAL (SELECT CASE WHEN s.starts_at + make_interval(mins => t.duration_minutes) > s.ends_at
                                           OR t.buffer_before_minutes + t.buffer_after_minutes > 0
                                         THEN run_of(s.slot_id, t.test_id) END AS run OFFSET 0) n
             WHERE t.test_id = wanted_test AND s.status = 'free' AND (s.booked < s.capacity OR s.slot_id = ANY (lapsed))
               AND (n.run IS NULL OR ((n.run).during IS NOT NULL AND (n.run).room > 0 AND NOT (n.run).closed))
               AND (wanted_start IS NULL OR s.starts_at = wanted_start)
               AND (for_history OR s.starts_at >= now() + make_interval(mins => t.lead_minutes))
               AND (taken && coalesce((n.run).during, tstzrange(s.starts_at, s.ends_at))) IS NOT TRUE) c
     WHERE c.places >= turn
     ORDER BY c.starts_at, c.slot_id
     LIMIT 1);
END $$;
COMMENT ON FUNCTION pick IS
  'The first slot of a site''s day (at that start, if given) with a free place for the test and the patient; '
  'turn k leaves k - 1 places to those before it in the same call.';

CREATE FUNCTION last_slot(wanted_site integer, wanted_test integer, wanted_day date, wanted_start timestamptz) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT s.slot_id
      FROM resource_test o
      JOIN resource m ON m.resource_id = o.resource_id AND m.site_id = wanted_site AND m.active
      JOIN slot s ON s.resource_id = m.resource_id AND s.status <> 'entered-in-error'
       AND s.local_start >= wanted_day AND s.local_start < wanted_day + 1
      JOIN test t ON t.test_id = o.test_id
     WHERE o.test_id = wanted_test AND (wanted_start IS NULL OR s.starts_at = wanted_start)
     ORDER BY s.status = 'free' DESC, s.starts_at + make_interval(mins => t.duration_minutes) <= s.ends_at DESC,
              s.starts_at DESC, s.slot_id
     LIMIT 1);
END $$;
COMMENT ON FUNCTION last_slot IS
  'The slot whose reason is told when `pick` finds none: the last open one of the day (at that start, if given), else the '
  'last. NULL: there is none.';

CREATE FUNCTION resolve(requests jsonb) RETURNS item[]
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  items item[];
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT d.ord::integer, (doc ->> 'key')::uuid AS request_key, md5((doc - 'key' - 'again' - 'kept')::text)::uuid AS fingerprint,
           row_number() OVER (PARTITION BY doc ->> 'key' ORDER BY d.ord) AS copy,
           (doc ->> 'slot')::integer AS slot_id, (doc ->> 'day')::date AS day, (doc ->> 'start')::timestamptz AS start,
           -- A week, as an offer may last: who calls this past the program cannot hold for ever.
           CASE WHEN (doc ->> 'hold_seconds')::integer > 604800 THEN 604800 ELSE (doc ->> 'hold_seconds')::integer END AS hold_seconds, coalesce((doc ->> 'history')::boolean, false) AS history,
           coalesce(doc ->> 'status', 'booked')::appointment_status AS status, coalesce(doc ->> 'note', '') AS note,
           doc ? 'moves' AS is_move, moved.appointment_id AS moves, moved.status AS moved_status,
           moved.held_until <= now() AS moved_expired,
           coalesce(moved.patient_id, p.merged_into, p.patient_id) AS patient_id,
           coalesce(moved.test_id, t.test_id) AS test_id, site.site_id,
           coalesce((doc ->> 'again')::boolean, false) AS again
      FROM jsonb_array_elements(requests) WITH ORDINALITY AS d (doc, ord)
      LEFT JOIN appointment moved ON moved.appointment_id = appointment_id_of(doc ->> 'moves')
      LEFT JOIN patient p ON p.mrn = doc ->> 'patient'
      LEFT JOIN test t ON t.code = (doc ->> 'test') AND t.active
      LEFT JOIN site ON site.code = (doc ->> 'site') AND site.active
  ), placed AS MATERIALIZED (
    SELECT n.*, n.slot_id IS NULL AND n.picked IS NOT NULL AS chosen,
           coalesce(n.slot_id, n.picked,
                    CASE WHEN n.is_new THEN last_slot(n.site_id, n.test_id, n.day, n.start) END) AS at_slot
      FROM (SELECT t.*, CASE WHEN t.slot_id IS NULL AND t.is_new
                             THEN coalesce(pick(t.site_id, t.test_id, t.day, t.start, t.patient_id, t.history, t.turn),
                                           pick(t.site_id, t.test_id, t.day, t.start, t.patient_id, t.history, 1)) END AS picked
              FROM (SELECT a.*, q.verdict AS stored, q.fingerprint AS stored_fingerprint, q.numbers AS stored_numbers,
                           q.appointment_id AS stored_appointment, q.request_key IS NULL OR a.again AS is_new,
                           row_number() OVER (
                             PARTITION BY a.slot_id IS NULL, q.request_key IS NULL OR a.again, a.patient_id IS NULL,
                                          a.site_id, a.test_id, a.day, a.start
                             ORDER BY a.ord) AS turn
                      FROM asked a LEFT JOIN request q ON q.request_key = a.request_key) t OFFSET 0) n
  ), fitted AS MATERIALIZED (
    SELECT f.*, s.starts_at, s.ends_at, s.status AS slot_status, s.capacity, s.booked, o.test_id AS offered,
           s.resource_id, t.duration_minutes, t.lead_minutes, t.window_days, t.min_interval_days,
           CASE WHEN s.starts_at + make_interval(mins => t.duration_minutes) > s.ends_at
                  OR t.buffer_before_minutes + t.buffer_after_minutes > 0
                THEN run_of(s.slot_id, t.test_id)
                ELSE ROW(ARRAY[s.slot_id], tstzrange(s.starts_at, s.ends_at), s.capacity - s.booked,
                         s.status <> 'free')::run END AS run
      FROM placed f
      LEFT JOIN slot s ON s.slot_id = f.at_slot AND s.status <> 'entered-in-error'
      LEFT JOIN test t ON t.test_id = f.test_id
      LEFT JOIN resource_test o ON o.resource_id = s.resource_id AND o.test_id = f.test_id
  )
  SELECT array_agg(ROW(
           ord, request_key, fingerprint, patient_id, test_id, at_slot, (run).slots, (run).during, chosen,
           min_interval_days, hold_seconds, status, history, again, moves, note,
           CASE WHEN stored IS NOT NULL AND stored_fingerprint <> fingerprint THEN 'key-reused'
                WHEN stored IS NOT NULL AND NOT (again AND stored_appointment IS NULL) THEN stored
                WHEN copy > 1 THEN 'again'
                WHEN status <> 'booked' AND NOT history THEN 'wrong-status'
                WHEN is_move AND moves IS NULL THEN 'reference-unknown'
                WHEN is_move AND moved_status NOT IN ('booked', 'pending') THEN 'wrong-status'
                WHEN is_move AND moved_expired THEN 'hold-expired'
                WHEN patient_id IS NULL THEN 'patient-unknown'
                WHEN test_id IS NULL THEN 'test-unknown'
                WHEN slot_id IS NULL AND site_id IS NULL THEN 'site-unknown'
                WHEN resource_id IS NULL THEN 'slot-unknown'
                WHEN offered IS NULL THEN 'not-offered'
                WHEN (run).during IS NULL OR cardinality((run).slots) > 200 THEN 'not-enough-room'
                WHEN (run).closed THEN 'slot-closed'
                WHEN starts_at <= now() AND NOT history THEN 'slot-past'
                WHEN starts_at < now() + make_interval(mins => lead_minutes) AND NOT history THEN 'too-soon'
                WHEN starts_at > now() + make_interval(days => window_days) THEN 'too-far-ahead'
                WHEN (run).room <= 0 AND moves IS NULL AND is_active(status) AND NOT EXISTS (
                     SELECT FROM appointment h WHERE h.status = 'pending' AND h.held_until <= now()) THEN 'slot-full'
           END,
           CASE WHEN stored_fingerprint <> fingerprint THEN '{}'
                WHEN stored IS NOT NULL THEN stored_numbers
                ELSE jsonb_strip_nulls(jsonb_build_object(
                  'status', moved_status, 'capacity', capacity, 'booked', booked, 'starts_at', starts_at,
                  'lead_minutes', lead_minutes, 'window_days', window_days, 'duration_minutes', duration_minutes)) END,
           stored_appointment, false)::item ORDER BY ord)
    INTO items
    FROM fitted;
  RETURN coalesce(items, '{}');
END $$;
COMMENT ON FUNCTION resolve IS
  'Requests with their codes looked up, a slot picked where only a day or a start was named, and every rule checked '
  'that needs no lock. A known key gets its stored verdict; a full slot is refused here, before any lock is taken.';


-- The kernel: judging and applying --------------------------------------------------------------------------------

CREATE FUNCTION free_places(freed bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  gap record;
BEGIN
  PERFORM FROM slot s
    WHERE s.slot_id IN (SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (freed))
    ORDER BY s.slot_id FOR NO KEY UPDATE;
  FOR gap IN
    DELETE FROM occupancy o USING appointment a
     WHERE a.appointment_id = ANY (freed) AND o.slot_id = ANY (a.slots) AND o.appointment_id = a.appointment_id
    RETURNING o.slot_id, o.place
  LOOP
    -- The highest remaining place moves into the gap, so that the places stay 1..booked.
    UPDATE occupancy SET place = gap.place
     WHERE slot_id = gap.slot_id
       AND place = (SELECT max(place) FROM occupancy WHERE slot_id = gap.slot_id)
       AND place > gap.place;
    UPDATE slot SET booked = booked - 1, version = version + 1 WHERE slot_id = gap.slot_id;
  END LOOP;
END $$;
COMMENT ON FUNCTION free_places IS 'Gives back every place of the appointments. Needs no advisory lock: only rows, slots ascending.';

CREATE FUNCTION lift(lifted bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM free_places(lifted);
  IF cardinality(lifted) > 1 THEN
    -- The first that is set down may come onto the time that another of the same patient is about to leave.
    UPDATE appointment a SET during = tstzrange(t.aside, t.aside + interval '1 microsecond')
      FROM unnest(lifted) u (id) CROSS JOIN LATERAL (SELECT timestamptz '0001-01-01 00:00Z' + u.id * interval '1 microsecond') t (aside)
     WHERE a.appointment_id = u.id;
  END IF;
END $$;
COMMENT ON FUNCTION lift IS
  'Takes the appointments from their places and times, all of them before the first has another one; the caller gives each '
  'its new slots and time in the same transaction. Others see nothing of it.';

CREATE FUNCTION release_expired(among_slots integer[], among_patients integer[], moved bigint[] DEFAULT '{}')
RETURNS integer
LANGUAGE plpgsql SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  expired bigint[];
BEGIN
  IF among_slots IS NULL THEN
    SELECT coalesce(array_agg(h.appointment_id), '{}') INTO expired
      FROM (SELECT appointment_id FROM appointment
             WHERE status = 'pending' AND held_until <= now()
             ORDER BY appointment_id LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED) h;
  ELSE
    -- Who needs the place waits for whoever is changing the hold at this moment.
    SELECT coalesce(array_agg(h.appointment_id), '{}') INTO expired
      FROM (SELECT appointment_id FROM appointment
             WHERE status = 'pending' AND held_until <= now() AND appointment_id <> ALL (moved)
               AND (slots && among_slots OR patient_id = ANY (among_patients))
             ORDER BY appointment_id FOR NO KEY UPDATE) h;
  END IF;
  -- What is freed and what the caller is about to take are locked together, ascending.
  PERFORM FROM slot s
    WHERE s.slot_id = ANY (among_slots || ARRAY(
            SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (expired || moved)))
    ORDER BY s.slot_id FOR NO KEY UPDATE;
  PERFORM free_places(expired);
  UPDATE appointment SET status = 'cancelled', held_until = NULL, reason = 'hold-expired', version = version + 1
   WHERE appointment_id = ANY (expired);
  INSERT INTO audit (action, patient_id, appointment_id, before, after)
  SELECT 'expire', patient_id, appointment_id, '{"status": "pending"}', '{"status": "cancelled"}'
    FROM appointment WHERE appointment_id = ANY (expired);
  RETURN cardinality(expired);
END $$;
COMMENT ON FUNCTION release_expired IS
  'Cancels holds whose time is over: those in the slots or of the patients named, or any (both NULL), then at most 500.';

CREATE FUNCTION let_holds_expire(token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'expire-holds');
  RETURN release_expired(NULL, NULL);
END $$;
COMMENT ON FUNCTION let_holds_expire IS 'Gives back the places of at most 500 holds whose time is over; how many.';

CREATE FUNCTION lock_for_booking(wanted_slots integer[], wanted_patients integer[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(k.class, k.id)
     FROM (SELECT 1 AS class, s AS id FROM unnest(wanted_slots) s
           UNION SELECT 2, p FROM unnest(wanted_patients) p
           ORDER BY 1, 2 OFFSET 0) k;
END $$;
COMMENT ON FUNCTION lock_for_booking IS
  'The lock: who holds it is alone with these slots and patients until commit. The only place that takes advisory locks.';

CREATE FUNCTION lock_rows(wanted_slots integer[], wanted_patients integer[], moved bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM FROM appointment a WHERE a.appointment_id = ANY (moved) ORDER BY a.appointment_id FOR NO KEY UPDATE;
  IF EXISTS (SELECT FROM appointment WHERE status = 'pending' AND held_until <= now()) THEN
    PERFORM release_expired(wanted_slots, wanted_patients, moved);
  ELSIF cardinality(wanted_slots) > 1 OR cardinality(moved) > 0 THEN
    PERFORM FROM slot s
      WHERE s.slot_id = ANY (wanted_slots || ARRAY(SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (moved)))
      ORDER BY s.slot_id FOR NO KEY UPDATE;
  END IF;
END $$;
COMMENT ON FUNCTION lock_rows IS
  'Locks the rows a booking will change, in the order of the rule sheet, and gives back expired holds that are in its way. '
  'One slot needs no row lock of its own: its UPDATE takes it.';

CREATE FUNCTION allowed_of(items item[], who acting) RETURNS item[]
LANGUAGE sql STABLE AS $$
  SELECT array_agg(
           CASE WHEN i.verdict IS NULL AND (
                     (i.history AND NOT may(who, 'record-history'))
                     OR NOT coalesce((SELECT s.site_id FROM slot s WHERE s.slot_id = i.slot_id) = ANY (who.sites), who.sites IS NULL)
                     OR NOT site_of(i.moves) <@ coalesce(who.sites, site_of(i.moves)))
                THEN jsonb_populate_record(i, '{"verdict": "forbidden"}') ELSE i END ORDER BY i.ord)
    FROM unnest(items) i
$$;
COMMENT ON FUNCTION allowed_of IS 'What somebody may not ask for is `forbidden`: another site than theirs, the past without the permission.';

CREATE FUNCTION judge(items item[], together boolean, in_order boolean) RETURNS item[]
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  judged item[];
  leaving bigint[] := '{}';
BEGIN
  IF together THEN
    -- What has its answer already stays where that has put it.
    leaving := ARRAY(SELECT i.moves FROM unnest(items) i
                      WHERE i.moves IS NOT NULL AND i.verdict IS NULL
                        AND NOT EXISTS (SELECT FROM request r WHERE r.request_key = i.request_key));
  END IF;
  WITH open AS MATERIALIZED (
    SELECT i, i.ord, i.patient_id, i.test_id, i.during,
           row_number() OVER (PARTITION BY i.patient_id ORDER BY i.ord) AS turn,
           tstzrange(lower(i.during) - make_interval(days => i.interval_days),
                     lower(i.during) + make_interval(days => i.interval_days)) AS near_by
      FROM unnest(items) i WHERE i.verdict IS NULL
  ), wanted AS (
    SELECT o.i, o.ord, o.turn, o.near_by, s.status, s.capacity, s.booked, moved.status AS moved_status,
           s.capacity - s.booked + (moved.active AND s.slot_id = ANY (moved.slots) IS TRUE)::integer AS room,
           row_number() OVER (PARTITION BY s.slot_id ORDER BY o.ord) AS rank
      FROM open o
     CROSS JOIN LATERAL unnest((o.i).slots) u (slot_id)
      JOIN slot s ON s.slot_id = u.slot_id
      LEFT JOIN LATERAL (SELECT * FROM appointment a WHERE a.appointment_id = (o.i).moves LIMIT 1) moved ON true
  ), room AS (
    SELECT ((array_agg(i))[1]).*, min(turn) AS turn, (array_agg(near_by))[1] AS near_by, min(moved_status) AS moved_status,
           min(coalesce(room, capacity - booked)) AS room, bool_or(wanted.status <> 'free') AS closed,
           bool_or(rank > coalesce(room, capacity - booked)) AS crowded, max(capacity) AS capacity, max(booked) AS booked
      FROM wanted GROUP BY ord
  ), facts AS (
    SELECT i.*, is_active(i.status) AS needs_place,
           q.verdict AS stored, q.fingerprint AS stored_fingerprint, q.appointment_id AS stored_appointment,
           clash.appointment_id AS clash, clash.during AS clash_during,
           near.appointment_id AS near, near.during AS near_during,
           turn > 1 AND EXISTS (SELECT FROM open e WHERE e.patient_id = i.patient_id AND e.ord < i.ord
                                                     AND e.during && i.during) AS clash_inside,
           turn > 1 AND EXISTS (SELECT FROM open e WHERE e.patient_id = i.patient_id AND e.ord < i.ord
                                                     AND e.test_id = i.test_id AND e.during && i.near_by) AS near_inside,
           together AND in_order AND EXISTS (SELECT FROM open e WHERE e.ord < i.ord
                                                                  AND upper(e.during) > lower(i.during)) AS disordered
      FROM room i
      LEFT JOIN LATERAL (SELECT * FROM request r WHERE r.request_key = i.request_key LIMIT 1) q ON true
      LEFT JOIN LATERAL (
        SELECT a.appointment_id, a.during FROM appointment a
         WHERE is_active(i.status) AND a.active AND a.patient_id = i.patient_id AND a.during && i.during
           AND a.appointment_id IS DISTINCT FROM i.moves AND a.appointment_id <> ALL (leaving) LIMIT 1) clash ON true
      LEFT JOIN LATERAL (
        SELECT a.appointment_id, a.during FROM appointment a
         WHERE i.interval_days > 0 AND is_active(i.status) AND a.active AND a.patient_id = i.patient_id
           AND a.test_id = i.test_id AND a.during && i.near_by
           AND a.appointment_id IS DISTINCT FROM i.moves AND a.appointment_id <> ALL (leaving) LIMIT 1) near ON true
  ), judged AS (
    SELECT f.*,
           CASE WHEN stored IS NOT NULL AND stored_fingerprint <> fingerprint THEN 'key-reused'
                WHEN stored IS NOT NULL AND NOT (again AND stored_appointment IS NULL) THEN stored
                WHEN (clash_inside OR near_inside) AND NOT together THEN 'again'
                WHEN (SELECT p.merged_into FROM patient p WHERE p.patient_id = f.patient_id LIMIT 1) IS NOT NULL THEN 'again'
                WHEN moves IS NOT NULL AND moved_status NOT IN ('booked', 'pending') THEN 'wrong-status'
                WHEN chosen AND needs_place AND (closed OR room <= 0 OR clash IS NOT NULL) THEN 'again'
                WHEN closed THEN 'slot-closed'
                WHEN room <= 0 AND needs_place THEN 'slot-full'
                WHEN clash IS NOT NULL OR clash_inside THEN 'patient-overlap'
                WHEN near IS NOT NULL OR near_inside THEN 'too-close-to-last'
                WHEN disordered THEN 'out-of-order'
                WHEN crowded AND needs_place THEN CASE WHEN together THEN 'slot-full' ELSE 'again' END
                WHEN moves IS NOT NULL THEN 'rescheduled'
                WHEN hold_seconds IS NOT NULL THEN 'held'
                ELSE 'booked' END AS decided,
           numbers || jsonb_strip_nulls(jsonb_build_object(
             'capacity', capacity, 'booked', booked, 'status', moved_status,
             'min_interval_days', CASE WHEN near IS NOT NULL OR near_inside THEN interval_days END,
             'other', reference_of(coalesce(clash, near)),
             'other_start', lower(coalesce(clash_during, near_during)),
             'other_end', upper(coalesce(clash_during, near_during)))) AS figures
      FROM facts f
  ), counted AS (
    SELECT j.*, decided IN ('booked', 'held', 'rescheduled') AND stored_appointment IS NULL AS wins,
           together AND bool_or(decided = 'again') OVER () AS undecided,
           together AND (bool_or(decided NOT IN ('booked', 'held', 'rescheduled', 'again')) OVER ()
                         OR EXISTS (SELECT FROM unnest(items) i
                                     WHERE i.verdict NOT IN ('booked', 'held', 'rescheduled'))) AS broken
      FROM judged j
  ), answered AS (
    SELECT ord, ROW(
           ord, request_key, fingerprint, patient_id, test_id, slot_id, slots, during, chosen, interval_days,
           hold_seconds, status, history, again, moves, note,
           CASE WHEN broken AND (wins OR decided = 'again') THEN 'visit-refused'
                WHEN undecided AND wins THEN 'again'
                ELSE decided END, figures,
           CASE WHEN NOT wins THEN stored_appointment
                WHEN NOT broken AND NOT undecided THEN coalesce(moves, nextval('appointment_appointment_id_seq')) END,
           wins AND NOT broken AND NOT undecided)::item AS answer
      FROM counted
     UNION ALL
    SELECT i.ord, i FROM unnest(items) i WHERE i.verdict IS NOT NULL
  )
  SELECT array_agg(answer ORDER BY ord) INTO judged FROM answered;
  RETURN judged;
END $$;
COMMENT ON FUNCTION judge IS
  'Decides what needed the locks: room, the patient''s other appointments, the interval between two of a test. '
  'Requests that stand in each other''s way (one patient at one time, more than there is room for): the first are decided, '
  'the rest are told `again`. '
  '`together`: all win or none, and no part is in the way where another one leaves; `in_order`: each begins when the one before has ended.';

CREATE FUNCTION apply(items item[], visit bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  missing bigint;
  left_slots jsonb;
BEGIN
  IF EXISTS (SELECT FROM unnest(items) i WHERE i.won AND i.moves IS NOT NULL) THEN
    SELECT jsonb_object_agg(a.appointment_id, a.slot_id) INTO left_slots
      FROM unnest(items) i JOIN appointment a ON a.appointment_id = i.moves WHERE i.won;
    PERFORM lift(array_agg(i.moves)) FROM unnest(items) i WHERE i.won AND i.moves IS NOT NULL;
    UPDATE appointment a SET slot_id = i.slot_id, slots = i.slots, during = i.during, version = a.version + 1
      FROM unnest(items) i
     WHERE i.won AND a.appointment_id = i.moves;
  END IF;
  WITH won AS MATERIALIZED (
    SELECT * FROM unnest(items) WHERE won
  ), seat AS MATERIALIZED (
    SELECT u.slot_id, array_agg(w.appointment_id ORDER BY w.ord) AS appointments, count(*)::integer AS wanted
      FROM won w CROSS JOIN LATERAL unnest(w.slots) u (slot_id)
     WHERE is_active(w.status) GROUP BY u.slot_id
  ), taken AS (
    UPDATE slot s SET booked = s.booked + d.wanted, version = s.version + 1
      FROM seat d
     WHERE s.slot_id = d.slot_id AND s.status = 'free'
    RETURNING s.slot_id, s.capacity, s.booked - d.wanted AS before, d.appointments
  ), made AS (
    INSERT INTO appointment (appointment_id, patient_id, test_id, slot_id, slots, during, status, held_until, visit_id, note)
    SELECT appointment_id, patient_id, test_id, slot_id, slots, during,
           CASE WHEN hold_seconds IS NULL THEN status ELSE 'pending' END, now() + make_interval(secs => hold_seconds),
           visit, note
      FROM won WHERE moves IS NULL
  ), seated AS (
    INSERT INTO occupancy (slot_id, place, capacity, appointment_id)
    SELECT t.slot_id, t.before + u.rank, t.capacity, u.appointment_id
      FROM taken t CROSS JOIN LATERAL unnest(t.appointments) WITH ORDINALITY AS u (appointment_id, rank)
    RETURNING 1
  ), answered AS (
    INSERT INTO request AS r (request_key, fingerprint, verdict, numbers, appointment_id)
    SELECT request_key, fingerprint, verdict, CASE WHEN NOT won THEN numbers END, appointment_id
      FROM unnest(items)
     WHERE won OR (appointment_id IS NULL AND verdict NOT IN ('again', 'key-reused', 'forbidden') AND verdict NOT LIKE '%-unknown')
     ORDER BY request_key
        ON CONFLICT (request_key) DO UPDATE
       SET verdict = excluded.verdict, numbers = excluded.numbers, appointment_id = excluded.appointment_id
     WHERE r.appointment_id IS NULL AND r.fingerprint = excluded.fingerprint
    RETURNING appointment_id
  ), told AS (
    INSERT INTO notification (appointment_id, kind)
    SELECT w.appointment_id, CASE WHEN w.moves IS NULL THEN 'confirmation' ELSE 'change' END
      FROM won w LEFT JOIN LATERAL (SELECT a.status FROM appointment a WHERE a.appointment_id = w.moves LIMIT 1) m ON true
     WHERE NOT w.history AND w.hold_seconds IS NULL AND coalesce(m.status, w.status) = 'booked'
  ), noted AS (
    INSERT INTO audit (action, patient_id, appointment_id, before, after)
    SELECT CASE verdict WHEN 'booked' THEN 'book' WHEN 'held' THEN 'hold' ELSE 'reschedule' END, patient_id, appointment_id,
           CASE WHEN moves IS NOT NULL THEN jsonb_build_object('slot', left_slots -> moves::text) END,
           jsonb_build_object('slot', slot_id, 'test', test_id)
      FROM won
  )
  SELECT (SELECT coalesce(sum(wanted), 0) FROM seat) - (SELECT count(*) FROM seated)
       + (SELECT count(*) FROM won) - (SELECT count(appointment_id) FROM answered)
    INTO missing;
  IF missing <> 0 THEN
    RAISE EXCEPTION 'a slot was closed or a request key was used meanwhile' USING ERRCODE = '40001';
  END IF;
END $$;
COMMENT ON FUNCTION apply IS
  'Writes what was won: places, appointments, counters, answers, messages and audit, in one statement. What changed between '
  'judging and here makes the whole call fail as a serialization failure, to be sent again.';

CREATE VIEW appointment_facts AS
  SELECT a.appointment_id, reference_of(a.appointment_id) AS reference, a.status, a.active, a.held_until, a.visit_id,
         a.reason, a.note, a.version AS appointment_version, a.created_at,
         p.patient_id, p.mrn AS patient, p.name::text AS patient_name,
         t.test_id, t.code::text AS test, t.name::text AS test_name, t.preparation,
         s.site_id, s.code::text AS site, s.name::text AS site_name, s.zone::text AS zone, s.phone AS site_phone,
         r.resource_id, r.code::text AS resource, a.slot_id, a.slots, lower(a.during) AS starts_at, upper(a.during) AS ends_at,
         o.local_start, o.capacity, o.capacity - o.booked AS remaining, o.version, a.arrived_at, a.checked_in_at,
         CASE WHEN a.status IN ('arrived', 'checked-in')
              THEN floor(extract(epoch FROM now() - coalesce(a.arrived_at, a.checked_in_at)) / 60)::integer END AS waiting_minutes
    FROM appointment a
    JOIN patient p USING (patient_id)
    JOIN test t USING (test_id)
    JOIN slot o USING (slot_id)
    JOIN resource r USING (resource_id)
    JOIN site s ON s.site_id = o.site_id;
COMMENT ON VIEW appointment_facts IS 'An appointment with everything a desk says about it.';

CREATE TYPE verdict AS (
  ord             integer,
  request_key     uuid,
  verdict         text,
  numbers         jsonb,
  appointment_id  bigint,
  reference       text,
  status          appointment_status,
  held_until      timestamptz,
  patient         text,
  patient_name    text,
  test            text,
  test_name       text,
  preparation     text,
  site            text,
  site_name       text,
  zone            text,
  resource        text,
  slot_id         integer,
  slots           integer[],
  starts_at       timestamptz,
  ends_at         timestamptz,
  capacity        integer,
  remaining       integer,
  version         integer
);
COMMENT ON TYPE verdict IS 'What became of one request, with all a desk shows; `remaining` and `version` are for the cache.';

CREATE FUNCTION tell_refused(items item[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  message uuid := gen_random_uuid();
BEGIN
  WITH refused AS (
    INSERT INTO refusal (request_key, patient_id, test_id, slot_id)
    SELECT i.request_key, i.patient_id, i.test_id, i.slot_id
      FROM unnest(items) i JOIN request r USING (request_key)
     WHERE r.appointment_id IS NULL AND r.fingerprint = i.fingerprint AND i.verdict <> 'again'
       AND i.patient_id IS NOT NULL AND i.test_id IS NOT NULL AND i.slot_id IS NOT NULL
     ORDER BY i.ord
        ON CONFLICT DO NOTHING RETURNING request_key
  )
  INSERT INTO notification (request_key, kind, message_id) SELECT request_key, 'refusal', message FROM refused
      ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION tell_refused IS
  'The message that what a desk had kept was not booked, once for each request key; what was asked together is one message.';

CREATE FUNCTION book_as(acting acting, requests jsonb, all_or_nothing boolean, in_order boolean, besides integer[] DEFAULT '{}')
RETURNS SETOF verdict
LANGUAGE plpgsql SET search_path = app, ext, pg_temp
-- One row or a thousand: index look-ups from a plan made once. The planner would guess 100 rows and read whole tables,
-- and a plan made while the tables are empty must still be right when they are not.
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
  items item[];
  wanted_slots integer[];
  wanted_patients integer[];
  told integer[];
  visit bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'book needs READ COMMITTED' USING ERRCODE = '25001';
  END IF;
  items := resolve(requests);
  IF acting.sites IS NOT NULL OR requests @? '$[*].history' THEN
    items := allowed_of(items, acting);
  END IF;

  SELECT array_agg(DISTINCT u.slot_id), array_agg(DISTINCT i.patient_id) INTO wanted_slots, wanted_patients
    FROM unnest(items) i CROSS JOIN LATERAL unnest(i.slots) u (slot_id)
   WHERE i.verdict IS NULL;
  IF cardinality(wanted_slots) + cardinality(wanted_patients) > 4000 THEN
    -- The lock table is shared: about 12,500 locks at default settings would be refused to everybody.
    RAISE EXCEPTION 'too many slots and patients in one call' USING ERRCODE = 'program_limit_exceeded';
  ELSIF wanted_slots IS NOT NULL THEN
    PERFORM lock_for_booking(wanted_slots, wanted_patients);
    PERFORM lock_rows(wanted_slots || besides, wanted_patients, ARRAY(SELECT i.moves FROM unnest(items) i WHERE i.moves IS NOT NULL));
    items := judge(items, all_or_nothing, in_order);
  END IF;

  IF EXISTS (SELECT FROM unnest(items) i WHERE NOT i.won) THEN
    -- Told again what was booked before, or what else somebody has then, is a look. With its row of the audit this commit waits for
    -- disk and standby, so that a booking is as safe as when it was made.
    told := ARRAY(SELECT i.patient_id FROM unnest(items) i
                   WHERE NOT i.won AND (i.numbers ? 'other' OR (i.appointment_id IS NOT NULL AND i.verdict <> 'key-reused')));
    PERFORM note_look('look-appointment', told, CASE WHEN cardinality(items) = 1 THEN (items[1]).appointment_id END);
    IF told = '{}' AND NOT EXISTS (SELECT FROM unnest(items) i WHERE i.won) THEN
      -- A refusal that a crash forgets is simply judged again, so it need not wait for the disk.
      PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
  END IF;
  IF all_or_nothing AND cardinality(items) > 1 AND EXISTS (SELECT FROM unnest(items) i WHERE i.won) THEN
    INSERT INTO visit DEFAULT VALUES RETURNING visit_id INTO visit;
  END IF;
  PERFORM apply(items, visit);
  PERFORM leave_trace('change', ARRAY(SELECT i.patient_id FROM unnest(items) i WHERE i.won));
  IF requests @? '$[*].kept' THEN
    PERFORM tell_refused(items);
  END IF;
  RETURN QUERY
    SELECT i.ord, i.request_key, i.verdict, i.numbers, i.appointment_id, f.reference, f.status, f.held_until,
           -- Whose a key is already that somebody uses for something else is not for them to know.
           CASE i.verdict WHEN 'key-reused' THEN p.mrn ELSE coalesce(f.patient, p.mrn) END,
           CASE WHEN i.verdict <> 'key-reused' THEN f.patient_name END, coalesce(f.test, t.code::text), coalesce(f.test_name, t.name::text),
           coalesce(f.preparation, t.preparation), f.site, f.site_name, f.zone, f.resource, i.slot_id, coalesce(f.slots, i.slots),
           coalesce(f.starts_at, lower(i.during)), coalesce(f.ends_at, upper(i.during)), f.capacity, f.remaining, f.version
      FROM unnest(items) i
      LEFT JOIN appointment_facts f ON f.appointment_id = i.appointment_id
      LEFT JOIN patient p ON p.patient_id = i.patient_id
      LEFT JOIN test t ON t.test_id = i.test_id
     ORDER BY i.ord;
END $$;
COMMENT ON FUNCTION book_as IS
  'Books for whoever was let in. `besides`: slots that the caller will change afterwards, whose rows are locked with the others, ascending.';

CREATE FUNCTION book(requests jsonb, all_or_nothing boolean DEFAULT false, in_order boolean DEFAULT false, token text DEFAULT NULL)
RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT * FROM book_as(enter(token, 'book'), requests, all_or_nothing, in_order);
END $$;
COMMENT ON FUNCTION book IS
  'The one door for bookings: a JSON array of requests in, one verdict each out, in order. A request is {key, patient, test} and '
  'a place: {slot}, or {site, day} with an optional {start}; {hold_seconds} holds instead, {moves: reference} reschedules, '
  '{history: true, status} records the past, {kept: true} '
  'is sent for somebody who has gone home and is told of a refusal. `all_or_nothing` makes them a visit, `in_order` one whose tests follow one another as given. `again` is not an answer: send that request once more.';

CREATE FUNCTION book_for(login text, requests jsonb, all_or_nothing boolean DEFAULT false, in_order boolean DEFAULT false, token text DEFAULT NULL)
RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
DECLARE
  asked acting;
BEGIN
  PERFORM enter(token, 'send');
  SELECT f.staff_id, f.name, f.role::text, f.sites, NULL INTO asked FROM staff f WHERE f.name = login AND f.disabled_at IS NULL;
  IF asked.staff_id IS NULL OR NOT may(asked, 'book') THEN
    PERFORM deny('forbidden', 'book for another', asked);
  END IF;
  PERFORM set_config('bookcli.staff', asked.name, true);
  RETURN QUERY SELECT * FROM book_as(asked, requests, all_or_nothing, in_order);
END $$;
COMMENT ON FUNCTION book_for IS
  'For a worker that sends what a desk kept while the database was away: books under the name of whoever asked there, who must '
  'still work here and be allowed to book. The audit has their name, and the worker as the machine.';

CREATE FUNCTION verdict_of(which bigint, decided text, figures jsonb DEFAULT '{}') RETURNS SETOF verdict
LANGUAGE sql STABLE AS $$
  SELECT 1, NULL::uuid, decided, figures, f.appointment_id, f.reference, f.status, f.held_until, f.patient, f.patient_name, f.test,
         f.test_name, f.preparation, f.site, f.site_name, f.zone, f.resource, f.slot_id, f.slots, f.starts_at, f.ends_at,
         f.capacity, f.remaining, f.version
    FROM appointment_facts f WHERE f.appointment_id = which
  UNION ALL
  SELECT 1, NULL, decided, figures, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL
   WHERE NOT EXISTS (SELECT FROM appointment WHERE appointment_id = which)
$$;
COMMENT ON FUNCTION verdict_of IS 'An answer about one appointment, or about none.';

CREATE FUNCTION answer_of(which bigint, decided text, figures jsonb, wanted text) RETURNS SETOF verdict
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  answer verdict;
BEGIN
  SELECT v.* INTO answer FROM verdict_of(which, decided, figures) v;
  IF decided <> wanted THEN
    answer.patient := NULL;
    answer.patient_name := NULL;
  ELSIF EXISTS (SELECT FROM audit u WHERE u.appointment_id = which AND u.at = now()) THEN
    PERFORM leave_trace('change', ARRAY(SELECT a.patient_id FROM appointment a WHERE a.appointment_id = which));
  ELSE
    PERFORM note_look('look-appointment', ARRAY(SELECT a.patient_id FROM appointment a WHERE a.appointment_id = which), which);
  END IF;
  RETURN NEXT answer;
END $$;
COMMENT ON FUNCTION answer_of IS
  'The same for somebody who wanted something of the appointment: who is refused is told of no patient, and for whom there was nothing '
  'left to do it is a look.';


-- The kernel: the life of an appointment --------------------------------------------------------------------------

CREATE TABLE status_change (
  from_status  appointment_status NOT NULL,
  to_status    appointment_status NOT NULL,
  action       text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
COMMENT ON TABLE status_change IS 'Which change of status is allowed and what it is called; steps back are corrections at the desk.';
INSERT INTO status_change VALUES
  ('booked', 'arrived', 'arrive'), ('booked', 'checked-in', 'check-in'), ('arrived', 'checked-in', 'check-in'),
  ('arrived', 'fulfilled', 'fulfil'), ('checked-in', 'fulfilled', 'fulfil'), ('booked', 'noshow', 'noshow'),
  ('arrived', 'booked', 'correct'), ('checked-in', 'arrived', 'correct'), ('fulfilled', 'checked-in', 'correct');

CREATE FUNCTION change(which bigint, to_status appointment_status, why text, what text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old appointment;
BEGIN
  IF (why ~ '^[a-z-]{0,40}$') IS NOT TRUE THEN
    -- A code and no words: it goes into the audit.
    PERFORM refuse_value('appointment_reason_check');
  END IF;
  SELECT * INTO old FROM appointment WHERE appointment_id = which;
  IF NOT is_active(to_status) THEN
    PERFORM free_places(ARRAY[which]);
  END IF;
  UPDATE appointment SET status = to_status, held_until = NULL, reason = why, version = version + 1,
         arrived_at = CASE to_status WHEN 'arrived' THEN coalesce(arrived_at, now()) WHEN 'booked' THEN NULL ELSE arrived_at END,
         checked_in_at = CASE WHEN to_status = 'checked-in' THEN coalesce(checked_in_at, now())
                              WHEN to_status NOT IN ('booked', 'arrived') THEN checked_in_at END
   WHERE appointment_id = which;
  INSERT INTO audit (action, patient_id, appointment_id, before, after)
  VALUES (what, old.patient_id, which, jsonb_build_object('status', old.status), jsonb_build_object('status', to_status, 'reason', why));
END $$;
COMMENT ON FUNCTION change IS 'Changes the status of an appointment whose row the caller has locked; an inactive one gives its places back.';

CREATE FUNCTION confirm(reference text, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  old appointment;
  answer text;
BEGIN
  acting := enter(token, 'book');
  SELECT * INTO old FROM appointment WHERE appointment_id = which FOR NO KEY UPDATE;
  PERFORM stay_within(acting, site_of(which));
  IF old IS NULL OR old.appointment_id IS NULL THEN
    answer := 'reference-unknown';
  END IF;
  IF old.status = 'pending' AND old.held_until > now() THEN
    PERFORM change(which, 'booked', '', 'confirm');
    INSERT INTO notification (appointment_id, kind) VALUES (which, 'confirmation');
    answer := 'booked';
  ELSIF old.status = 'pending' THEN
    PERFORM change(which, 'cancelled', 'hold-expired', 'expire');
    answer := 'hold-expired';
  ELSIF old.reason = 'hold-expired' THEN
    answer := 'hold-expired';
  ELSIF old.status IN ('booked', 'arrived', 'checked-in', 'fulfilled') THEN
    answer := 'booked';
  END IF;
  RETURN QUERY SELECT * FROM answer_of(which, coalesce(answer, 'wrong-status'), jsonb_strip_nulls(jsonb_build_object('status', old.status)), 'booked');
END $$;
COMMENT ON FUNCTION confirm IS 'Turns a hold into a booking. It keeps its place: nothing is counted again. Safe to repeat.';

CREATE FUNCTION cancel(reference text, why text DEFAULT 'pat', token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  old_status appointment_status;
  answer text;
BEGIN
  acting := enter(token, 'book');
  SELECT status INTO old_status FROM appointment WHERE appointment_id = which FOR NO KEY UPDATE;
  PERFORM stay_within(acting, site_of(which));
  IF old_status IS NULL THEN
    answer := 'reference-unknown';
  ELSIF old_status = 'cancelled' THEN
    answer := 'cancelled';
  ELSIF old_status IN ('fulfilled', 'noshow', 'entered-in-error') THEN
    answer := 'wrong-status';
  ELSE
    PERFORM change(which, 'cancelled', why, 'cancel');
    IF old_status <> 'pending' THEN
      INSERT INTO notification (appointment_id, kind) VALUES (which, 'cancellation');
    END IF;
    answer := 'cancelled';
  END IF;
  RETURN QUERY SELECT * FROM answer_of(which, answer, jsonb_strip_nulls(jsonb_build_object('status', old_status)), 'cancelled');
END $$;
COMMENT ON FUNCTION cancel IS 'Cancels and gives the place back at once. `why` is a FHIR cancellation reason code. Safe to repeat.';

CREATE FUNCTION set_status(reference text, new_status appointment_status, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  old appointment;
  rule status_change;
  answer text;
BEGIN
  acting := enter(token, 'book');
  SELECT * INTO old FROM appointment WHERE appointment_id = which FOR NO KEY UPDATE;
  PERFORM stay_within(acting, site_of(which));
  SELECT * INTO rule FROM status_change WHERE from_status = old.status AND to_status = new_status;
  IF old.appointment_id IS NULL THEN
    answer := 'reference-unknown';
  ELSIF old.status = new_status THEN
    answer := new_status;
  ELSIF rule.action IS NULL THEN
    answer := 'wrong-status';
  ELSIF new_status = 'noshow' AND lower(old.during) > now() THEN
    answer := 'not-yet';
  ELSIF rule.action IN ('arrive', 'check-in', 'fulfil')
        AND (SELECT (now() AT TIME ZONE p.zone)::date < s.local_start::date FROM slot s JOIN site p USING (site_id) WHERE s.slot_id = old.slot_id) THEN
    answer := 'not-yet';
  ELSIF rule.action = 'arrive' AND upper(old.during) < now()
        AND (SELECT (now() AT TIME ZONE p.zone)::date > s.local_start::date FROM slot s JOIN site p USING (site_id) WHERE s.slot_id = old.slot_id) THEN
    answer := 'day-over';
  ELSE
    PERFORM change(which, new_status, '', rule.action);
    answer := new_status;
  END IF;
  RETURN QUERY SELECT * FROM answer_of(which, answer, jsonb_strip_nulls(jsonb_build_object('status', old.status)), new_status::text);
END $$;
COMMENT ON FUNCTION set_status IS
  'Arrive, check-in, fulfil, noshow and their corrections: see status_change. Nobody arrives before the local day of the appointment, and '
  'nobody on a later one. Safe to repeat.';


CREATE FUNCTION lock_visit(which bigint) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  parts bigint[] := ARRAY(
    SELECT appointment_id FROM appointment WHERE appointment_id = which
     UNION
    SELECT b.appointment_id FROM appointment a JOIN appointment b ON b.visit_id = a.visit_id WHERE a.appointment_id = which
     ORDER BY 1);
BEGIN
  PERFORM FROM appointment WHERE appointment_id = ANY (parts) ORDER BY appointment_id FOR NO KEY UPDATE;
  RETURN parts;
END $$;
COMMENT ON FUNCTION lock_visit IS 'Locks the appointment and those that were booked with it, and says which they are; none when there is no such appointment.';

CREATE FUNCTION confirm_visit(reference text, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  parts bigint[];
  part appointment;
  answer text;
BEGIN
  acting := enter(token, 'book');
  parts := lock_visit(which);
  PERFORM stay_within(acting, site_of(u)) FROM unnest(parts) u;
  SELECT CASE WHEN bool_or(a.status = 'pending' AND a.held_until <= now() OR a.reason = 'hold-expired') THEN 'hold-expired'
              WHEN bool_or(a.status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')) THEN 'booked'
              WHEN count(*) > 0 THEN 'wrong-status'
              ELSE 'reference-unknown' END
    INTO answer FROM appointment a WHERE a.appointment_id = ANY (parts);
  IF answer = 'hold-expired' THEN
    PERFORM FROM slot s
      WHERE s.slot_id IN (SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (parts) AND a.status = 'pending')
      ORDER BY s.slot_id FOR NO KEY UPDATE;
  END IF;
  FOR part IN SELECT * FROM appointment a WHERE a.appointment_id = ANY (parts) AND a.status = 'pending' ORDER BY a.appointment_id LOOP
    IF answer = 'booked' THEN
      PERFORM change(part.appointment_id, 'booked', '', 'confirm');
      INSERT INTO notification (appointment_id, kind) VALUES (part.appointment_id, 'confirmation');
    ELSIF part.held_until <= now() THEN
      PERFORM change(part.appointment_id, 'cancelled', 'hold-expired', 'expire');
    END IF;
  END LOOP;
  RETURN QUERY
    SELECT v.* FROM unnest(CASE WHEN answer = 'booked' THEN parts ELSE ARRAY[which] END) WITH ORDINALITY AS u (id, ord)
      LEFT JOIN appointment a ON a.appointment_id = u.id
     CROSS JOIN LATERAL answer_of(u.id, answer, jsonb_strip_nulls(jsonb_build_object('status', a.status)), 'booked') v
     WHERE answer <> 'booked' OR a.status IN ('booked', 'arrived', 'checked-in', 'fulfilled')
     ORDER BY u.ord;
END $$;
COMMENT ON FUNCTION confirm_visit IS
  'Turns every hold of a visit into a booking, or none: when one of them has expired the whole is `hold-expired`. What was cancelled '
  'on purpose stays so. A hold of its own is a visit of one. Safe to repeat.';

CREATE FUNCTION release(reference text, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  parts bigint[];
  held bigint[];
  answer text := 'released';
BEGIN
  acting := enter(token, 'book');
  parts := lock_visit(which);
  PERFORM stay_within(acting, site_of(u)) FROM unnest(parts) u;
  held := ARRAY(SELECT a.appointment_id FROM appointment a WHERE a.appointment_id = ANY (parts) AND a.status = 'pending' ORDER BY 1);
  IF cardinality(parts) = 0 THEN
    answer := 'reference-unknown';
  ELSIF cardinality(held) = 0 THEN
    answer := coalesce((SELECT 'released' FROM appointment a WHERE a.appointment_id = which AND a.reason IN ('released', 'hold-expired')), 'wrong-status');
  ELSIF EXISTS (SELECT FROM appointment a
                  JOIN audit u ON u.at = a.created_at AND u.appointment_id = a.appointment_id AND u.action = 'hold'
                 WHERE a.appointment_id = ANY (held) AND u.staff <> coalesce(acting.name, '')) THEN
    answer := 'not-yours';
  ELSE
    PERFORM FROM slot s
      WHERE s.slot_id IN (SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (held))
      ORDER BY s.slot_id FOR NO KEY UPDATE;
    PERFORM change(u, 'cancelled', 'released', 'release') FROM unnest(held) u;
  END IF;
  RETURN QUERY
    SELECT v.* FROM unnest(CASE WHEN answer = 'released' AND cardinality(held) > 0 THEN held ELSE ARRAY[which] END) WITH ORDINALITY AS u (id, ord)
      LEFT JOIN appointment a ON a.appointment_id = u.id
     CROSS JOIN LATERAL answer_of(u.id, answer, jsonb_strip_nulls(jsonb_build_object('status', a.status)), 'released') v
     ORDER BY u.ord;
END $$;
COMMENT ON FUNCTION release IS
  'Gives back what somebody holds, the whole visit of it, if they made it themselves (`not-yours` otherwise: `cancel` it). Nobody is told, '
  'because nobody was promised anything. Safe to repeat.';


CREATE FUNCTION renew(reference text, seconds integer, said text DEFAULT NULL, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  which bigint := appointment_id_of(reference);
  parts bigint[];
  held bigint[];
  answer text := 'held';
BEGIN
  acting := enter(token, 'book');
  IF char_length(said) > 2000 THEN
    PERFORM refuse_value('appointment_note_check');
  END IF;
  parts := lock_visit(which);
  PERFORM stay_within(acting, site_of(u)) FROM unnest(parts) u;
  held := ARRAY(SELECT a.appointment_id FROM appointment a WHERE a.appointment_id = ANY (parts) AND a.status = 'pending' ORDER BY 1);
  IF cardinality(parts) = 0 THEN
    answer := 'reference-unknown';
  ELSIF EXISTS (SELECT FROM appointment a WHERE a.appointment_id = ANY (parts)
                   AND (a.reason = 'hold-expired' OR a.status = 'pending' AND a.held_until <= now())) THEN
    answer := 'hold-expired';
  ELSIF cardinality(held) = 0 THEN
    answer := 'wrong-status';
  ELSIF EXISTS (SELECT FROM appointment a
                  JOIN audit u ON u.at = a.created_at AND u.appointment_id = a.appointment_id AND u.action = 'hold'
                 WHERE a.appointment_id = ANY (held) AND u.staff <> coalesce(acting.name, '')) THEN
    answer := 'not-yours';
  ELSE
    UPDATE appointment a SET held_until = now() + make_interval(secs => least(greatest(seconds, 10), 86400)),
                             note = coalesce(said, a.note), version = a.version + 1
     WHERE a.appointment_id = ANY (held);
    INSERT INTO audit (action, patient_id, appointment_id)
    SELECT 'renew', a.patient_id, a.appointment_id FROM appointment a WHERE a.appointment_id = ANY (held);
  END IF;
  RETURN QUERY
    SELECT v.* FROM unnest(CASE WHEN answer = 'held' THEN held ELSE ARRAY[which] END) WITH ORDINALITY AS u (id, ord)
      LEFT JOIN appointment a ON a.appointment_id = u.id
     CROSS JOIN LATERAL answer_of(u.id, answer, jsonb_strip_nulls(jsonb_build_object('status', a.status)), 'held') v
     ORDER BY u.ord;
END $$;
COMMENT ON FUNCTION renew IS
  'Lets somebody go on holding what they hold, the whole visit of it, for so many seconds from now, and says what is to be noted with it; '
  'NULL leaves the note as it is. What has expired stays so, because its place may be gone. Safe to repeat.';


CREATE TYPE step AS (audit_id bigint, at timestamptz, action text, appointment_id bigint, before jsonb);
COMMENT ON TYPE step IS 'Something that somebody did to an appointment, as the audit has it.';

CREATE FUNCTION undoable(who text, since interval, among bigint[] DEFAULT NULL) RETURNS SETOF step
LANGUAGE sql STABLE SET search_path = app, ext, pg_temp AS $$
  WITH mine AS MATERIALIZED (
    -- Two questions, because one with OR finds no appointment by its index.
    SELECT u.* FROM (SELECT e.* FROM audit e WHERE among IS NULL AND e.at > now() - since AND e.appointment_id IS NOT NULL
                      UNION ALL
                     SELECT e.* FROM audit e WHERE e.appointment_id = ANY (among) AND e.at > now() - since) u
     WHERE u.staff = who
       AND u.action IN ('book', 'hold', 'confirm', 'cancel', 'reschedule', 'arrive', 'check-in', 'fulfil', 'noshow', 'correct')
     ORDER BY u.audit_id DESC LIMIT CASE WHEN among IS NULL THEN 200 END
  ), changes AS MATERIALIZED (
    SELECT u.audit_id, u.appointment_id, (u.after ->> 'undo')::bigint AS undone FROM audit u
     WHERE u.at > now() - since AND u.appointment_id = ANY (ARRAY(SELECT m.appointment_id FROM mine m))
       AND u.action IN ('book', 'hold', 'confirm', 'cancel', 'reschedule', 'arrive', 'check-in', 'fulfil', 'noshow', 'correct',
                        'expire', 'release', 'undo')
  )
  SELECT m.audit_id, m.at, m.action, m.appointment_id, m.before
    FROM mine m JOIN appointment a USING (appointment_id)
   WHERE NOT EXISTS (SELECT FROM changes c WHERE c.undone = m.audit_id)
     AND NOT EXISTS (SELECT FROM changes c
                      WHERE c.appointment_id = m.appointment_id AND c.audit_id > m.audit_id AND c.undone IS NULL
                        AND NOT EXISTS (SELECT FROM changes d WHERE d.undone = c.audit_id))
     AND CASE m.action WHEN 'hold' THEN a.status = 'pending' AND a.held_until > now()
                       WHEN 'reschedule' THEN a.status IN ('booked', 'pending')
                       WHEN 'book' THEN a.status = 'booked'
                       WHEN 'confirm' THEN a.status = 'booked'
                       WHEN 'cancel' THEN a.status = 'cancelled' AND m.before ->> 'status' <> 'pending'
                       ELSE a.status::text = m.after ->> 'status' END
   ORDER BY m.audit_id DESC
$$;
COMMENT ON FUNCTION undoable IS
  'What somebody did to appointments (to those, if any are named; else of the last 200 steps) since then and nobody has changed after '
  'them, the last first. What was undone does not count, nor does its undoing.';

CREATE FUNCTION take_back_messages(which bigint, kinds text[], since timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  stopped integer;
BEGIN
  WITH stop AS (
    UPDATE notification n SET cancelled_at = now(), reason = 'undone'
     WHERE n.appointment_id = which AND n.kind = ANY (kinds) AND message_state(n) = 'waiting'
    RETURNING n.recipient
  )
  SELECT count(*) FILTER (WHERE s.recipient = 'patient') INTO stopped FROM stop s;
  -- Every message says how things are when it is leased. A lease that nobody has ended may have been used.
  -- Of two that were stopped the earlier was news that is still due.
  RETURN stopped > 1 OR EXISTS (
    SELECT FROM notification n WHERE n.appointment_id = which AND greatest(n.sent_at, n.perhaps_at, n.leased_until) >= since);
END $$;
COMMENT ON FUNCTION take_back_messages IS
  'Stops what is not sent yet of these kinds; whether any message may have gone out since then, which has told of what is taken back, or '
  'two were stopped, so that whoever is told must be told again. The caller has locked them.';

CREATE FUNCTION restore(which bigint, to_status appointment_status, wanted_slots integer[], wanted_during tstzrange, at_slot integer) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old appointment;
BEGIN
  SELECT * INTO old FROM appointment WHERE appointment_id = which;
  IF wanted_during IS NULL OR EXISTS (SELECT FROM slot s WHERE s.slot_id = ANY (wanted_slots) AND s.status <> 'free') THEN
    RETURN 'slot-closed';
  ELSIF EXISTS (SELECT FROM slot s WHERE s.slot_id = ANY (wanted_slots) AND s.booked >= s.capacity) THEN
    RETURN 'slot-full';
  ELSIF EXISTS (SELECT FROM appointment a WHERE a.active AND a.patient_id = old.patient_id AND a.during && wanted_during
                                            AND a.appointment_id <> which) THEN
    RETURN 'patient-overlap';
  END IF;
  UPDATE appointment SET status = to_status, slot_id = at_slot, slots = wanted_slots, during = wanted_during, reason = '', version = version + 1
   WHERE appointment_id = which;
  UPDATE slot SET booked = booked + 1, version = version + 1 WHERE slot_id = ANY (wanted_slots);
  INSERT INTO occupancy (slot_id, place, capacity, appointment_id)
  SELECT s.slot_id, s.booked, s.capacity, which FROM slot s WHERE s.slot_id = ANY (wanted_slots);
  RETURN 'undone';
END $$;
COMMENT ON FUNCTION restore IS
  'Puts an appointment that has no places now back into those that it had, under the same reference, or says why not; the caller '
  'has the locks.';

CREATE FUNCTION undo_one(step step) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old appointment;
  place run;
  back appointment_status;
  answer text := 'undone';
  was_sent boolean := false;
BEGIN
  SELECT * INTO old FROM appointment WHERE appointment_id = step.appointment_id;
  back := coalesce(step.before ->> 'status', old.status::text)::appointment_status;
  IF step.action IN ('book', 'confirm', 'hold') THEN
    back := CASE WHEN step.action = 'hold' THEN 'cancelled' ELSE 'entered-in-error' END;
    PERFORM free_places(ARRAY[old.appointment_id]);
    UPDATE appointment SET status = back, held_until = NULL, reason = CASE WHEN step.action = 'hold' THEN 'released' ELSE '' END, version = version + 1
     WHERE appointment_id = old.appointment_id;
    was_sent := take_back_messages(old.appointment_id, '{confirmation,change}', '-infinity');
    IF was_sent THEN
      INSERT INTO notification (appointment_id, kind) VALUES (old.appointment_id, 'cancellation');
    END IF;
  ELSIF step.action = 'reschedule' THEN
    place := run_of((step.before ->> 'slot')::integer, old.test_id);
    answer := restore(old.appointment_id, old.status, place.slots, place.during, (step.before ->> 'slot')::integer);
    IF answer = 'undone' AND old.status = 'booked' THEN
      was_sent := take_back_messages(old.appointment_id, '{change}', step.at);
      IF was_sent THEN
        INSERT INTO notification (appointment_id, kind) VALUES (old.appointment_id, 'change');
      END IF;
    END IF;
  ELSIF NOT old.active THEN
    answer := restore(old.appointment_id, back, old.slots, old.during, old.slot_id);
    IF answer = 'undone' AND step.action = 'cancel' THEN
      was_sent := take_back_messages(old.appointment_id, '{cancellation}', step.at);
      -- Told that it is cancelled, or not of all before that, because it was dropped meanwhile: the patient is told that it stands.
      IF was_sent OR NOT EXISTS (SELECT FROM notification n WHERE n.appointment_id = old.appointment_id AND n.kind = 'confirmation'
                                                              AND n.recipient = 'patient' AND (n.sent_at IS NOT NULL OR is_waiting(n)))
         OR EXISTS (SELECT FROM notification n WHERE n.appointment_id = old.appointment_id AND n.kind = 'change'
                                                 AND n.reason = 'not-booked' AND n.cancelled_at >= step.at) THEN
        INSERT INTO notification (appointment_id, kind) VALUES (old.appointment_id, 'confirmation');
      END IF;
      -- A reminder is made once for its time, so the one that was dropped meanwhile is the one that is sent.
      UPDATE notification n SET cancelled_at = NULL, reason = '', perhaps_at = greatest(n.perhaps_at, n.leased_until), leased_until = NULL, due_at = now()
       WHERE n.appointment_id = old.appointment_id AND n.kind = 'reminder' AND n.reason = 'not-booked' AND n.cancelled_at >= step.at;
    END IF;
  ELSE
    UPDATE appointment SET status = back, version = version + 1,
           arrived_at = CASE back WHEN 'arrived' THEN coalesce(arrived_at, now()) WHEN 'booked' THEN NULL ELSE arrived_at END,
           checked_in_at = CASE WHEN back = 'checked-in' THEN coalesce(checked_in_at, now())
                                WHEN back NOT IN ('booked', 'arrived') THEN checked_in_at END
     WHERE appointment_id = old.appointment_id;
  END IF;
  IF answer = 'undone' THEN
    INSERT INTO audit (action, patient_id, appointment_id, before, after)
    VALUES ('undo', old.patient_id, old.appointment_id, jsonb_build_object('status', old.status, 'slot', old.slot_id),
            (SELECT jsonb_build_object('status', a.status, 'slot', a.slot_id, 'undo', step.audit_id)
               FROM appointment a WHERE a.appointment_id = old.appointment_id));
  END IF;
  RETURN CASE WHEN was_sent THEN 'message-sent' ELSE answer END;
END $$;
COMMENT ON FUNCTION undo_one IS
  'Takes one step back: `undone`, `message-sent` when it is undone too but the patient may have been told and is told again, or why not.';

CREATE FUNCTION lock_for_undo(steps step[], besides integer[] DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  targets bigint[] := ARRAY(SELECT s.appointment_id FROM unnest(steps) s);
  patients integer[] := ARRAY(SELECT DISTINCT a.patient_id FROM appointment a WHERE a.appointment_id = ANY (targets));
  wanted integer[] := ARRAY(
    SELECT unnest(a.slots) FROM appointment a WHERE a.appointment_id = ANY (targets)
     UNION
    SELECT unnest((run_of((s.before ->> 'slot')::integer, a.test_id)).slots)
      FROM unnest(steps) s JOIN appointment a USING (appointment_id) WHERE s.before ? 'slot');
BEGIN
  PERFORM lock_for_booking(wanted, patients);
  PERFORM lock_rows(wanted || besides, patients, targets);
  PERFORM FROM notification n WHERE n.appointment_id = ANY (targets) ORDER BY n.notification_id FOR NO KEY UPDATE;
  RETURN (SELECT jsonb_agg(jsonb_build_object('site', f.site, 'zone', f.zone, 'resource', f.resource, 'starts_at', f.starts_at, 'slots', f.slots))
            FROM appointment_facts f WHERE f.appointment_id = ANY (targets));
END $$;
COMMENT ON FUNCTION lock_for_undo IS
  'Takes every lock that taking these steps back needs, with the rows of the slots `besides`; the places that their appointments have now.';

CREATE FUNCTION undo_all(steps step[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  one step;
  answer text;
  told text;
BEGIN
  -- All that were moved leave before the first is back: one may have the place of another.
  PERFORM lift(ARRAY(SELECT s.appointment_id FROM unnest(steps) s WHERE s.action = 'reschedule'));
  FOREACH one IN ARRAY steps LOOP
    answer := undo_one(one);
    IF answer NOT IN ('undone', 'message-sent') THEN
      RAISE EXCEPTION USING ERRCODE = 'BK001', MESSAGE = answer, DETAIL = one.appointment_id;
    END IF;
    told := coalesce(nullif(answer, 'undone'), told);
  END LOOP;
  RETURN coalesce(told, answer);
END $$;
COMMENT ON FUNCTION undo_all IS
  'Takes all of the steps back: `undone`, or `message-sent` when a patient may have been told and is told again; NULL of no step. When one cannot '
  'be taken back it raises BK001, with why as its message and which appointment as its detail, so that the caller lets all be as it was.';

CREATE FUNCTION undo(reference text DEFAULT NULL, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
  which bigint := appointment_id_of(reference);
  first step;
  parts bigint[];
  steps bigint[] := '{}';
  targets bigint[];
  answer text;
  told boolean := false;
  were jsonb;
BEGIN
  SELECT u.* INTO first FROM undoable(acting.name, '1 hour', CASE WHEN which IS NOT NULL THEN ARRAY[which] END) u LIMIT 1;
  IF reference IS NOT NULL AND NOT EXISTS (SELECT FROM appointment a WHERE a.appointment_id = which) THEN
    answer := 'reference-unknown';
  ELSIF first.audit_id IS NULL THEN
    answer := 'nothing-to-undo';
  ELSIF first.at < now() - interval '10 minutes' THEN
    answer := 'too-late';
  ELSE
    -- What was done to a visit at one stroke is undone at one.
    parts := first.appointment_id || ARRAY(
      SELECT b.appointment_id FROM appointment a JOIN appointment b ON b.visit_id = a.visit_id AND b.appointment_id <> a.appointment_id
       WHERE a.appointment_id = first.appointment_id);
    SELECT array_agg(u.audit_id), array_agg(u.appointment_id) INTO steps, targets
      FROM undoable(acting.name, '1 hour', parts) u
     WHERE u.audit_id = first.audit_id OR (u.at = first.at AND u.action = first.action);
    PERFORM stay_within(acting, site_of(t)) FROM unnest(targets) t;
    PERFORM stay_within(acting, ARRAY(SELECT o.site_id FROM undoable(acting.name, '1 hour', targets) u
                                        JOIN slot o ON o.slot_id = (u.before ->> 'slot')::integer WHERE u.audit_id = ANY (steps)));
    were := lock_for_undo(ARRAY(SELECT ROW(u.*)::step FROM undoable(acting.name, '1 hour', targets) u WHERE u.audit_id = ANY (steps)));
    BEGIN
      answer := coalesce(undo_all(ARRAY(
        SELECT ROW(u.*)::step FROM undoable(acting.name, '1 hour', targets) u WHERE u.audit_id = ANY (steps) ORDER BY u.appointment_id)), 'nothing-to-undo');
    EXCEPTION WHEN SQLSTATE 'BK001' THEN
      answer := SQLERRM;  -- what was taken back before this one is as it was
    END;
    told := answer = 'message-sent';
    answer := CASE WHEN told THEN 'undone' ELSE answer END;
  END IF;
  RETURN QUERY
    SELECT v.* FROM unnest(CASE WHEN answer = 'nothing-to-undo' THEN ARRAY[NULL::bigint] ELSE coalesce(targets, ARRAY[NULL::bigint]) END) AS u (id)
     CROSS JOIN LATERAL answer_of(u.id, answer, jsonb_strip_nulls(jsonb_build_object(
       'action', first.action, 'message_sent', told, 'were', CASE WHEN answer = 'undone' THEN were END)), 'undone') v
     ORDER BY u.id;
END $$;
COMMENT ON FUNCTION undo IS
  'Takes back the last thing that whoever asks has done to an appointment (to that one, if one is named) within ten minutes, unless '
  'somebody has changed it since: `undone`, `nothing-to-undo`, `too-late`, or why its old place cannot be had again. A booking '
  'becomes entered-in-error. What was done to a visit at one stroke is undone at one or not at all. A message that is not sent '
  'yet is taken back; otherwise the patient is told again. Who is told that there is nothing is told of no patient. `were`: '
  'the places that they had until now.';


-- The kernel: slots -----------------------------------------------------------------------------------------------

CREATE FUNCTION open_slots(slots jsonb) RETURNS TABLE (published integer, present integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  -- Closing takes the site's row too, so that neither overlooks what the other is about to write.
  PERFORM FROM site WHERE site_id IN (
      SELECT r.site_id FROM jsonb_to_recordset(slots) AS w (resource_id integer) JOIN resource r USING (resource_id))
    ORDER BY site_id FOR SHARE;
  RETURN QUERY
  WITH wanted AS (
    SELECT r.site_id, r.resource_id, w.starts_at, w.ends_at, w.local_start, w.capacity,
           EXISTS (SELECT FROM closure c
                    WHERE c.site_id = r.site_id AND (c.resource_id IS NULL OR c.resource_id = r.resource_id)
                      AND c.reopened_at IS NULL AND c.during && tstzrange(w.starts_at, w.ends_at)) AS closed
      FROM jsonb_to_recordset(slots) AS w (resource_id integer, starts_at timestamptz, ends_at timestamptz,
                                           local_start timestamp, capacity integer)
      JOIN resource r USING (resource_id)
  ), made AS (
    INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity, status)
    SELECT site_id, resource_id, starts_at, ends_at, local_start, capacity,
           CASE WHEN closed THEN 'busy-unavailable' ELSE 'free' END
      FROM wanted ORDER BY resource_id, starts_at
        ON CONFLICT DO NOTHING
    RETURNING resource_id
  ), noted AS (
    INSERT INTO audit (action, after)
    SELECT 'publish', jsonb_build_object('resource', resource_id, 'slots', count(*)) FROM made GROUP BY resource_id
  )
  SELECT (SELECT count(*) FROM made)::integer, ((SELECT count(*) FROM wanted) - (SELECT count(*) FROM made))::integer;
END $$;
COMMENT ON FUNCTION open_slots IS
  'Opens slots for booking. One that is there already, or would lie over another of its resource, is left as it is, '
  'so publishing a period twice is harmless. Slots inside a closure start closed.';

CREATE FUNCTION publish(slots jsonb, token text DEFAULT NULL) RETURNS TABLE (published integer, present integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
BEGIN
  acting := enter(token, 'manage-schedules');
  PERFORM stay_within(acting, ARRAY(
    SELECT r.site_id FROM jsonb_to_recordset(slots) AS w (resource_id integer) JOIN resource r USING (resource_id)));
  RETURN QUERY SELECT * FROM open_slots(slots);
END $$;
COMMENT ON FUNCTION publish IS 'Opens slots, whatever the weekly hours say.';

CREATE FUNCTION publish_hours(slots jsonb, token text DEFAULT NULL) RETURNS TABLE (published integer, present integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'publish-hours');
  -- Times of day are compared as the site's clocks show them: on a day on which they change that may leave out a slot
  -- that somebody with more rights can publish, and never lets one in that lies outside the hours.
  RETURN QUERY SELECT * FROM open_slots((
    SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]')
      FROM jsonb_to_recordset(slots) AS w (resource_id integer, starts_at timestamptz, ends_at timestamptz,
                                           local_start timestamp, capacity integer)
     WHERE w.starts_at > now() AND w.starts_at < now() + interval '2 years'
       AND EXISTS (
        SELECT FROM schedule h JOIN resource r USING (resource_id) JOIN site p USING (site_id)
         WHERE h.resource_id = w.resource_id AND r.active AND p.active
           AND h.valid @> w.local_start::date AND h.weekday = extract(isodow FROM w.local_start) AND h.capacity = w.capacity
           AND w.local_start = w.starts_at AT TIME ZONE p.zone
           AND w.ends_at = w.starts_at + make_interval(mins => h.slot_minutes)
           AND w.local_start::time >= h.opens AND w.ends_at AT TIME ZONE p.zone <= w.local_start::date + h.closes::interval
           AND extract(epoch FROM w.starts_at - (w.local_start::date + h.opens) AT TIME ZONE p.zone)::integer % (h.slot_minutes * 60) = 0)));
END $$;
COMMENT ON FUNCTION publish_hours IS
  'Opens those of the slots that are to come and that the weekly hours of their resource say, as they say them; the others '
  'are left out. For a machine, which may open nothing of its own.';

CREATE FUNCTION set_capacity(slot integer, new_capacity integer, token text DEFAULT NULL) RETURNS TABLE (verdict text, capacity integer, booked integer, version integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  old slot;
BEGIN
  acting := enter(token, 'manage-capacity');
  PERFORM stay_within(acting, ARRAY(SELECT s.site_id FROM slot s WHERE s.slot_id = slot));
  PERFORM release_expired(ARRAY[slot], '{}');
  SELECT * INTO old FROM slot s WHERE s.slot_id = slot FOR UPDATE;
  IF old.slot_id IS NULL THEN
    RETURN QUERY SELECT 'slot-unknown', NULL::integer, NULL::integer, NULL::integer;
    RETURN;
  ELSIF old.booked > new_capacity THEN
    RETURN QUERY SELECT 'capacity-below-booked', old.capacity, old.booked, old.version;
    RETURN;
  END IF;
  INSERT INTO audit (action, before, after)
  VALUES ('capacity', jsonb_build_object('slot', slot, 'capacity', old.capacity), jsonb_build_object('slot', slot, 'capacity', new_capacity));
  RETURN QUERY
    UPDATE slot s SET capacity = new_capacity, version = s.version + 1 WHERE s.slot_id = slot
    RETURNING 'changed', s.capacity, s.booked, s.version;
END $$;
COMMENT ON FUNCTION set_capacity IS 'Changes how many a slot takes; never below what is booked.';

CREATE FUNCTION slots_within(wanted_site integer, wanted_resource integer, period tstzrange) RETURNS integer[]
LANGUAGE sql STABLE AS $$
  -- Resource by resource, because only so does an index find a period.
  SELECT coalesce(array_agg(s.slot_id), '{}') FROM resource r JOIN slot s USING (resource_id)
   WHERE r.site_id = wanted_site AND (wanted_resource IS NULL OR r.resource_id = wanted_resource)
     AND tstzrange(s.starts_at, s.ends_at) && period
$$;
COMMENT ON FUNCTION slots_within IS 'The slots of a site, or of one resource of it, that a period touches.';

CREATE FUNCTION set_open(wanted_site integer, wanted_resource integer, period tstzrange, is_open boolean) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  touched integer[] := slots_within(wanted_site, wanted_resource, period);
  changed integer;
BEGIN
  PERFORM FROM slot s WHERE s.slot_id = ANY (touched) ORDER BY s.slot_id FOR NO KEY UPDATE;
  UPDATE slot s SET status = CASE WHEN is_open THEN 'free' ELSE 'busy-unavailable' END, version = s.version + 1
   WHERE s.slot_id = ANY (touched)
     AND s.status = CASE WHEN is_open THEN 'busy-unavailable' ELSE 'free' END
     AND NOT (is_open AND EXISTS (
         SELECT FROM closure c
          WHERE c.site_id = s.site_id AND (c.resource_id IS NULL OR c.resource_id = s.resource_id)
            AND c.reopened_at IS NULL AND c.during && tstzrange(s.starts_at, s.ends_at)));
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END $$;
COMMENT ON FUNCTION set_open IS 'Opens or closes the slots of a period; one that another closure still covers stays closed.';

CREATE FUNCTION close_as(acting acting, wanted_site integer, wanted_resource integer, period tstzrange, why text)
RETURNS TABLE (closure_id integer, slots integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  made integer;
BEGIN
  PERFORM stay_within(acting, ARRAY[wanted_site]);
  PERFORM FROM site WHERE site_id = wanted_site FOR NO KEY UPDATE;
  INSERT INTO closure (site_id, resource_id, during, reason) VALUES (wanted_site, wanted_resource, period, why)
  RETURNING closure_id INTO made;
  INSERT INTO audit (action, after)
  VALUES ('close', jsonb_build_object('closure', made, 'site', wanted_site, 'resource', wanted_resource, 'during', period::text));
  RETURN QUERY SELECT made, set_open(wanted_site, wanted_resource, period, false);
END $$;
COMMENT ON FUNCTION close_as IS 'Closes for whoever was let in.';

CREATE FUNCTION close_period(wanted_site integer, wanted_resource integer, period tstzrange, why text, token text DEFAULT NULL)
RETURNS TABLE (closure_id integer, slots integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT * FROM close_as(enter(token, 'manage-schedules'), wanted_site, wanted_resource, period, why);
END $$;
COMMENT ON FUNCTION close_period IS 'Takes no more bookings in a period. Who is booked there stays booked: see whom it hits and move them.';

CREATE FUNCTION find_closure(wanted_site integer, wanted_resource integer, period tstzrange, why text, token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM stay_within(enter(token, 'manage-schedules'), ARRAY[wanted_site]);
  -- Who closes has this row until it is decided, also while a commit waits for its standby, when nobody sees the closure yet.
  PERFORM FROM site WHERE site_id = wanted_site FOR SHARE;
  RETURN (SELECT max(c.closure_id) FROM closure c
           WHERE c.site_id = wanted_site AND c.resource_id IS NOT DISTINCT FROM wanted_resource AND c.during = period AND c.reason = why
             AND c.reopened_at IS NULL);
END $$;
COMMENT ON FUNCTION find_closure IS
  'The last closure in force that is just so, NULL when there is none: for whoever has asked for it and lost the answer. Waits for whoever is '
  'closing there.';

CREATE FUNCTION close_and_move(wanted_site integer, wanted_resource integer, period tstzrange, why text, moves jsonb,
                               all_or_nothing boolean, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-schedules');
  answers verdict[];
  done record;
BEGIN
  IF NOT may(acting, 'book') THEN
    PERFORM deny('forbidden', 'book', acting);
  END IF;
  PERFORM stay_within(acting, ARRAY[wanted_site]);
  -- The site's row before any slot's, as whoever closes or opens takes it.
  PERFORM FROM site WHERE site_id = wanted_site FOR NO KEY UPDATE;
  IF jsonb_array_length(moves) > 0 THEN
    -- Moved first, because whoever books takes its locks before it changes a row.
    answers := ARRAY(
      SELECT v::verdict FROM book_as(acting, moves, all_or_nothing, false, slots_within(wanted_site, wanted_resource, period)) v
       ORDER BY v.ord);
  END IF;
  IF NOT all_or_nothing OR NOT EXISTS (SELECT FROM unnest(answers) a WHERE a.verdict <> 'rescheduled') THEN
    PERFORM keep_on_disk();  -- which those who could not be moved did not need
    SELECT * INTO done FROM close_as(acting, wanted_site, wanted_resource, period, why);
    RETURN QUERY
      SELECT v.* FROM verdict_of(NULL, 'closed', jsonb_build_object('closure', done.closure_id, 'slots', done.slots)) v;
  END IF;
  RETURN QUERY SELECT * FROM unnest(answers);
END $$;
COMMENT ON FUNCTION close_and_move IS
  'Closes a period and moves who is booked in it, in one transaction: a first row `closed` with the closure, then a verdict for each '
  'move. `all_or_nothing`: when one cannot be moved nobody is, and nothing is closed; then there is no first row.';

CREATE FUNCTION reopen_as(acting acting, which integer) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old closure;
BEGIN
  PERFORM stay_within(acting, ARRAY(SELECT c.site_id FROM closure c WHERE c.closure_id = which));
  UPDATE closure SET reopened_at = now() WHERE closure_id = which AND reopened_at IS NULL RETURNING * INTO old;
  IF old.closure_id IS NULL THEN
    RETURN NULL;
  END IF;
  PERFORM FROM site WHERE site_id = old.site_id FOR NO KEY UPDATE;
  INSERT INTO audit (action, before) VALUES ('reopen', jsonb_build_object('closure', which));
  RETURN set_open(old.site_id, old.resource_id, old.during, true);
END $$;
COMMENT ON FUNCTION reopen_as IS 'Takes a closure back for whoever was let in.';

CREATE FUNCTION reopen(which integer, token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  RETURN reopen_as(enter(token, 'manage-schedules'), which);
END $$;
COMMENT ON FUNCTION reopen IS 'Takes a closure back: how many slots opened, or NULL when there is no such closure in force.';

CREATE FUNCTION moved_with(closed audit) RETURNS SETOF step
LANGUAGE sql STABLE SET search_path = app, ext, pg_temp AS $$
  SELECT u.* FROM undoable(closed.staff, '1 hour', ARRAY(
           SELECT m.appointment_id FROM audit m WHERE m.at = closed.at AND m.staff = closed.staff AND m.action = 'reschedule')) u
   WHERE u.at = closed.at AND u.action = 'reschedule'
   ORDER BY u.appointment_id
$$;
COMMENT ON FUNCTION moved_with IS 'The moves that were made with a closure, in one transaction, less those of appointments that somebody has changed since.';

CREATE FUNCTION undo_closing(which integer, token text DEFAULT NULL) RETURNS SETOF verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-schedules');
  old closure;
  closed audit;
  moves step[];
  were jsonb;
  opened integer;
  in_the_way bigint;
  answer text := 'nothing-to-undo';
BEGIN
  PERFORM stay_within(acting, ARRAY(SELECT c.site_id FROM closure c WHERE c.closure_id = which));
  SELECT * INTO old FROM closure WHERE closure_id = which AND reopened_at IS NULL FOR UPDATE;
  SELECT u.* INTO closed FROM audit u
   WHERE u.at > now() - interval '1 hour' AND u.action = 'close' AND u.after ->> 'closure' = which::text AND u.staff = acting.name;
  IF old.closure_id IS NOT NULL AND closed.at < now() - interval '10 minutes' THEN
    answer := 'too-late';
  ELSIF old.closure_id IS NOT NULL AND closed.audit_id IS NOT NULL THEN
    PERFORM FROM site WHERE site_id = old.site_id FOR NO KEY UPDATE;
    moves := ARRAY(SELECT ROW(m.*)::step FROM moved_with(closed) m);
    IF cardinality(moves) > 0 AND NOT may(acting, 'book') THEN
      PERFORM deny('forbidden', 'book', acting);
    END IF;
    PERFORM stay_within(acting, site_of(m.appointment_id)) FROM unnest(moves) m;
    were := lock_for_undo(moves, slots_within(old.site_id, old.resource_id, old.during));
    moves := ARRAY(SELECT ROW(m.*)::step FROM moved_with(closed) m);
    BEGIN
      opened := reopen_as(acting, which);
      answer := coalesce(undo_all(moves), 'undone');
    EXCEPTION WHEN SQLSTATE 'BK001' THEN
      -- It is closed still, whoever was moved stays moved.
      GET STACKED DIAGNOSTICS answer = MESSAGE_TEXT, in_the_way = PG_EXCEPTION_DETAIL;
    END;
  END IF;
  IF answer IN ('undone', 'message-sent') THEN
    RETURN QUERY
      SELECT v.* FROM verdict_of(NULL, 'reopened', jsonb_build_object('closure', which, 'slots', opened, 'message_sent', answer = 'message-sent',
        'were', coalesce(were, '[]'), 'site', (SELECT p.code FROM site p WHERE p.site_id = old.site_id), 'from', lower(old.during), 'to', upper(old.during))) v;
    RETURN QUERY SELECT v.* FROM unnest(moves) m CROSS JOIN LATERAL verdict_of(m.appointment_id, 'undone') v;
    PERFORM leave_trace('change', ARRAY(SELECT a.patient_id FROM unnest(moves) m JOIN appointment a USING (appointment_id)));
  ELSE
    RETURN QUERY SELECT v.* FROM answer_of(in_the_way, answer, '{}', 'undone') v;
  END IF;
END $$;
COMMENT ON FUNCTION undo_closing IS
  'Takes back what whoever asks has closed within ten minutes, and with it the moves that were made at one stroke with it, in one transaction: a first row '
  '`reopened` with the numbers, then `undone` for each who is back. Who was changed since stays. When one cannot go back nothing is taken back: '
  'one row says why, of whom; or `nothing-to-undo`, `too-late`. `were`: the places that they had until now.';

CREATE FUNCTION list_undoable(token text DEFAULT NULL)
RETURNS TABLE (done_at timestamptz, action text, reference text, status text, test text, site text, zone text, resource text,
               starts_at timestamptz, ends_at timestamptz, closure integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
BEGIN
  RETURN QUERY
    SELECT x.* FROM (
      (SELECT u.at AS done_at, u.action, f.reference, f.status::text, f.test, f.site, f.zone, f.resource, f.starts_at,
              NULL::timestamptz AS ends_at, NULL::integer AS closure
         FROM undoable(acting.name, '10 minutes') u JOIN appointment_facts f USING (appointment_id)
        ORDER BY u.audit_id DESC LIMIT 200)
       UNION ALL
      SELECT u.at, u.action, NULL, NULL, NULL, p.code::text, p.zone::text, r.code::text, lower(c.during), upper(c.during), c.closure_id
        FROM audit u JOIN closure c ON c.closure_id = (u.after ->> 'closure')::integer
        JOIN site p ON p.site_id = c.site_id LEFT JOIN resource r ON r.resource_id = c.resource_id
       WHERE u.at > now() - interval '10 minutes' AND u.action = 'close' AND u.staff = acting.name AND c.reopened_at IS NULL
         AND may(acting, 'manage-schedules')) x
     -- What was moved with a closing has its moment, and is taken back with it.
     ORDER BY x.done_at DESC, x.closure NULLS LAST;
END $$;
COMMENT ON FUNCTION list_undoable IS
  'What whoever asks could take back now, the last first: what was done to an appointment, or a closing, with its end; nothing about '
  'the patients.';


-- The kernel: catalog and patients --------------------------------------------------------------------------------

CREATE TYPE saved AS (ord integer, verdict text, id integer, code text);
COMMENT ON TYPE saved IS 'What became of one row: created, changed, unchanged, or why it was not saved.';

CREATE FUNCTION note_saved(kind text, id integer, old jsonb, new jsonb, patient integer DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  IF old IS NOT NULL AND old = new THEN
    RETURN 'unchanged';
  END IF;
  INSERT INTO audit (action, patient_id, before, after)
  SELECT CASE WHEN old IS NULL THEN 'create-' ELSE 'change-' END || kind, patient,
         jsonb_build_object('id', id, 'fields', (SELECT jsonb_agg(k) FROM jsonb_object_keys(old) k WHERE old -> k IS DISTINCT FROM new -> k)),
         jsonb_build_object('id', id);
  RETURN CASE WHEN old IS NULL THEN 'created' ELSE 'changed' END;
END $$;
COMMENT ON FUNCTION note_saved IS 'The audit row of a saved record: which fields changed, never what they say.';

CREATE FUNCTION save_sites(rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-catalog');
  w record; old site; new site;
BEGIN
  -- A new one is nobody's who is bound.
  PERFORM stay_within(acting, ARRAY[(SELECT s.site_id FROM site s WHERE s.code = d ->> 'code')]) FROM jsonb_array_elements(rows) d;
  PERFORM FROM site s WHERE s.code IN (SELECT d ->> 'code' FROM jsonb_array_elements(rows) d) ORDER BY s.site_id FOR NO KEY UPDATE;
  FOR w IN SELECT d.ord::integer, doc FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, ord) LOOP
    SELECT * INTO old FROM site s WHERE s.code = w.doc ->> 'code' FOR NO KEY UPDATE;
    IF old.site_id IS NULL THEN
      INSERT INTO site (code, name, zone, phone, active)
      VALUES (w.doc ->> 'code', coalesce(w.doc ->> 'name', w.doc ->> 'code'), coalesce(w.doc ->> 'zone', 'UTC'),
              coalesce(w.doc ->> 'phone', ''), coalesce((w.doc ->> 'active')::boolean, true)) RETURNING * INTO new;
    ELSE
      UPDATE site s SET name = coalesce(w.doc ->> 'name', s.name), zone = coalesce(w.doc ->> 'zone', s.zone),
             phone = coalesce(w.doc ->> 'phone', s.phone), active = coalesce((w.doc ->> 'active')::boolean, s.active)
       WHERE s.site_id = old.site_id RETURNING * INTO new;
      IF new.zone <> old.zone THEN
        PERFORM FROM slot s WHERE s.site_id = new.site_id ORDER BY s.slot_id FOR NO KEY UPDATE;
        -- A moment has one wall-clock time in any zone, so this direction is never ambiguous.
        UPDATE slot s SET local_start = s.starts_at AT TIME ZONE new.zone, version = s.version + 1 WHERE s.site_id = new.site_id;
      END IF;
    END IF;
    UPDATE site s SET (quiet_from, quiet_until, names_test, offer_minutes)
                    = (SELECT f.quiet_from, f.quiet_until, f.names_test, f.offer_minutes FROM jsonb_populate_record(s, w.doc) f)
     WHERE s.site_id = new.site_id RETURNING * INTO new;
    RETURN NEXT ROW(w.ord, note_saved('site', new.site_id, CASE WHEN old.site_id IS NOT NULL THEN to_jsonb(old) END, to_jsonb(new)),
                    new.site_id, new.code)::saved;
  END LOOP;
END $$;
COMMENT ON FUNCTION save_sites IS 'Creates sites, or changes the fields that are given.';

CREATE FUNCTION save_tests(rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-catalog');
  w record; old test; new test;
BEGIN
  -- A test is what it is at every site.
  PERFORM stay_within(acting, ARRAY(SELECT p.site_id FROM site p));
  PERFORM FROM test t WHERE t.code IN (SELECT d ->> 'code' FROM jsonb_array_elements(rows) d) ORDER BY t.test_id FOR NO KEY UPDATE;
  FOR w IN SELECT d.ord::integer, doc FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, ord) LOOP
    SELECT * INTO old FROM test t WHERE t.code = w.doc ->> 'code' FOR NO KEY UPDATE;
    IF old.test_id IS NULL THEN
      INSERT INTO test (code, name, duration_minutes)
      VALUES (w.doc ->> 'code', coalesce(w.doc ->> 'name', w.doc ->> 'code'), (w.doc ->> 'duration_minutes')::integer);
    END IF;
    UPDATE test t
       SET (name, duration_minutes, buffer_before_minutes, buffer_after_minutes, lead_minutes, window_days, min_interval_days,
            preparation, active, remind_before, fasting)
         = (SELECT f.name, f.duration_minutes, f.buffer_before_minutes, f.buffer_after_minutes, f.lead_minutes, f.window_days,
                   f.min_interval_days, f.preparation, f.active, f.remind_before, f.fasting
              FROM jsonb_populate_record(t, w.doc) f)
     WHERE t.code = w.doc ->> 'code' RETURNING * INTO new;
    RETURN NEXT ROW(w.ord, note_saved('test', new.test_id, CASE WHEN old.test_id IS NOT NULL THEN to_jsonb(old) END, to_jsonb(new)),
                    new.test_id, new.code)::saved;
  END LOOP;
END $$;
COMMENT ON FUNCTION save_tests IS 'Creates tests, or changes the fields that are given. The fields are the columns of `test`.';

CREATE FUNCTION save_resources(rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-catalog');
  w record; old resource; new resource; old_tests text[]; new_tests text[]; at_site integer;
BEGIN
  PERFORM stay_within(acting, ARRAY(SELECT s.site_id FROM site s WHERE s.code IN (SELECT d ->> 'site' FROM jsonb_array_elements(rows) d)));
  PERFORM FROM resource r JOIN site s USING (site_id)
    WHERE (s.code::text, r.code::text) IN (SELECT d ->> 'site', d ->> 'code' FROM jsonb_array_elements(rows) d)
    ORDER BY r.resource_id FOR NO KEY UPDATE OF r;
  FOR w IN SELECT d.ord::integer, doc FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, ord) LOOP
    SELECT site_id INTO at_site FROM site s WHERE s.code = w.doc ->> 'site';
    new_tests := ARRAY(SELECT jsonb_array_elements_text(w.doc -> 'tests'));
    IF at_site IS NULL THEN
      RETURN NEXT ROW(w.ord, 'site-unknown', NULL, w.doc ->> 'code')::saved;
      CONTINUE;
    ELSIF EXISTS (SELECT FROM unnest(new_tests) c WHERE NOT EXISTS (SELECT FROM test t WHERE t.code = c)) THEN
      RETURN NEXT ROW(w.ord, 'test-unknown', NULL, w.doc ->> 'code')::saved;
      CONTINUE;
    END IF;
    SELECT * INTO old FROM resource r WHERE r.site_id = at_site AND r.code = w.doc ->> 'code' FOR NO KEY UPDATE;
    IF old.resource_id IS NULL THEN
      INSERT INTO resource (site_id, code, name, active)
      VALUES (at_site, w.doc ->> 'code', coalesce(w.doc ->> 'name', w.doc ->> 'code'), coalesce((w.doc ->> 'active')::boolean, true))
      RETURNING * INTO new;
    ELSE
      UPDATE resource r SET name = coalesce(w.doc ->> 'name', r.name), active = coalesce((w.doc ->> 'active')::boolean, r.active)
       WHERE r.resource_id = old.resource_id RETURNING * INTO new;
    END IF;
    SELECT coalesce(array_agg(t.code::text ORDER BY t.code), '{}') INTO old_tests
      FROM resource_test o JOIN test t USING (test_id) WHERE o.resource_id = new.resource_id;
    IF w.doc ? 'tests' THEN
      DELETE FROM resource_test o USING test t
       WHERE o.resource_id = new.resource_id AND t.test_id = o.test_id AND t.code <> ALL (new_tests);
      INSERT INTO resource_test SELECT new.resource_id, t.test_id FROM test t WHERE t.code = ANY (new_tests) ON CONFLICT DO NOTHING;
    ELSE
      new_tests := old_tests;
    END IF;
    RETURN NEXT ROW(w.ord, note_saved('resource', new.resource_id,
        CASE WHEN old.resource_id IS NOT NULL THEN to_jsonb(old) || jsonb_build_object('tests', old_tests) END,
        to_jsonb(new) || jsonb_build_object('tests', ARRAY(SELECT unnest(new_tests) ORDER BY 1))), new.resource_id, new.code)::saved;
  END LOOP;
END $$;
COMMENT ON FUNCTION save_resources IS 'Creates resources, or changes the fields that are given; `tests` is the whole list of what it offers.';

CREATE FUNCTION save_schedules(rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting;
  w record; new schedule; at_resource integer; period daterange;
BEGIN
  acting := enter(token, 'manage-schedules');
  PERFORM stay_within(acting, ARRAY(
    SELECT s.site_id FROM jsonb_array_elements(rows) d (doc) JOIN site s ON s.code = d.doc ->> 'site'));
  FOR w IN SELECT d.ord::integer, doc FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, ord) LOOP
    SELECT r.resource_id INTO at_resource FROM resource r JOIN site s USING (site_id)
     WHERE s.code = w.doc ->> 'site' AND r.code = w.doc ->> 'resource';
    IF at_resource IS NULL THEN
      RETURN NEXT ROW(w.ord, 'resource-unknown', NULL, w.doc ->> 'resource')::saved;
      CONTINUE;
    END IF;
    period := daterange((w.doc ->> 'valid_from')::date, (w.doc ->> 'valid_until')::date, '[]');
    SELECT * INTO new FROM schedule h
     WHERE h.resource_id = at_resource AND h.weekday = (w.doc ->> 'weekday')::smallint AND h.opens = (w.doc ->> 'opens')::time
       AND h.closes = (w.doc ->> 'closes')::time AND h.slot_minutes = (w.doc ->> 'slot_minutes')::integer
       AND h.capacity = (w.doc ->> 'capacity')::integer AND h.valid = period;
    IF new.schedule_id IS NOT NULL THEN
      RETURN NEXT ROW(w.ord, 'unchanged', new.schedule_id, w.doc ->> 'resource')::saved;
      CONTINUE;
    END IF;
    INSERT INTO schedule (resource_id, weekday, opens, closes, slot_minutes, capacity, valid)
    VALUES (at_resource, (w.doc ->> 'weekday')::smallint, (w.doc ->> 'opens')::time, (w.doc ->> 'closes')::time,
            (w.doc ->> 'slot_minutes')::integer, (w.doc ->> 'capacity')::integer, period)
        ON CONFLICT DO NOTHING RETURNING * INTO new;
    RETURN NEXT ROW(w.ord, CASE WHEN new.schedule_id IS NULL THEN 'hours-overlap' ELSE note_saved('schedule', new.schedule_id, NULL, to_jsonb(new)) END,
                    new.schedule_id, w.doc ->> 'resource')::saved;
  END LOOP;
END $$;
COMMENT ON FUNCTION save_schedules IS 'Adds weekly hours; the same hours twice are one. Hours that overlap others of the resource are not saved.';

CREATE FUNCTION end_schedule(acting acting, which integer, last_day date) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old schedule;
BEGIN
  PERFORM stay_within(acting, ARRAY(
    SELECT r.site_id FROM schedule h JOIN resource r USING (resource_id) WHERE h.schedule_id = which));
  SELECT * INTO old FROM schedule WHERE schedule_id = which FOR UPDATE;
  IF old.schedule_id IS NULL THEN
    -- Whoever asks again because the answer was lost may have ended them themselves.
    RETURN EXISTS (SELECT FROM audit u
                    WHERE u.at > now() - interval '1 hour' AND u.action = 'end-schedule' AND u.staff = acting.name
                      AND u.before -> 'schedule_id' = to_jsonb(which) AND u.after -> 'last_day' = to_jsonb(last_day));
  ELSIF isempty(old.valid * daterange(NULL, last_day, '[]')) THEN
    DELETE FROM schedule WHERE schedule_id = which;
  ELSE
    UPDATE schedule SET valid = valid * daterange(NULL, last_day, '[]') WHERE schedule_id = which;
  END IF;
  INSERT INTO audit (action, before, after) VALUES ('end-schedule', to_jsonb(old), jsonb_build_object('last_day', last_day));
  RETURN true;
END $$;
COMMENT ON FUNCTION end_schedule IS
  'No more slots are published from these hours after a day, for whoever was let in; published ones stay. False: no '
  'such hours. Safe to repeat, also where nothing is left of them.';

CREATE FUNCTION replace_schedules(which integer[], first_day date, rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
DECLARE
  acting acting := enter(token, 'manage-schedules');
  answers saved[];
BEGIN
  BEGIN
    IF NOT coalesce((SELECT bool_and(end_schedule(acting, u.id, first_day - 1)) FROM (SELECT unnest(which) AS id ORDER BY id) u), false) THEN
      answers := ARRAY[ROW(1, 'schedule-unknown', NULL, NULL)::saved];
      RAISE EXCEPTION USING ERRCODE = 'BK001';
    END IF;
    answers := ARRAY(SELECT ROW(a.*)::saved FROM save_schedules(rows, token) a);
    IF EXISTS (SELECT FROM unnest(answers) a WHERE a.verdict NOT IN ('created', 'unchanged')) THEN
      RAISE EXCEPTION USING ERRCODE = 'BK001';
    END IF;
  EXCEPTION WHEN SQLSTATE 'BK001' THEN
    NULL;  -- all is as it was, and the answers say why
  END;
  RETURN QUERY SELECT * FROM unnest(answers);
END $$;
COMMENT ON FUNCTION replace_schedules IS
  'From a day on other weekly hours instead of these, or none, in one transaction: as `save_schedules`, but one that is not saved, or '
  '`schedule-unknown`, leaves all as it was. Slots that are published stay.';

CREATE FUNCTION next_mrn() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  candidate text;
BEGIN
  LOOP
    candidate := 'P' || nextval('patient_number');
    EXIT WHEN NOT EXISTS (SELECT FROM patient WHERE mrn = candidate);
  END LOOP;
  RETURN candidate;
END $$;
COMMENT ON FUNCTION next_mrn IS 'A number for a new patient, skipping those an import brought along.';

CREATE FUNCTION save_patients(rows jsonb, token text DEFAULT NULL) RETURNS SETOF saved
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  answers saved[];
  rule text;
BEGIN
  PERFORM enter(token, 'edit-patients');
  WITH asked AS MATERIALIZED (
    SELECT d.ord::integer, doc, coalesce(doc ->> 'mrn', next_mrn()) AS mrn,
           row_number() OVER (PARTITION BY doc ->> 'mrn' ORDER BY d.ord) AS copy
      FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, ord)
  ), old AS MATERIALIZED (
    SELECT p.* FROM patient p WHERE p.mrn IN (SELECT mrn FROM asked) ORDER BY p.patient_id FOR NO KEY UPDATE
  ), named AS MATERIALIZED (
    SELECT a.ord, a.mrn, a.copy, a.doc ? 'mrn' AS has_mrn, o.patient_id IS NOT NULL AND a.doc ? 'new' AS taken, o.patient_id, o.version,
           coalesce(a.doc ->> 'name', o.name) AS name,
           CASE WHEN a.doc ? 'birth_date' THEN (a.doc ->> 'birth_date')::date ELSE o.birth_date END AS birth_date,
           coalesce(a.doc ->> 'sex', o.sex, 'unknown') AS sex, coalesce(a.doc ->> 'phone', o.phone, '') AS phone,
           coalesce(a.doc ->> 'email', o.email, '') AS email, coalesce(a.doc ->> 'language', o.language, '') AS language,
           coalesce(a.doc ->> 'channel', o.channel, '') AS channel, coalesce(a.doc ->> 'consent', o.consent, '') AS consent,
           coalesce(a.doc ->> 'note', o.note, '') AS note,
           ARRAY_REMOVE(ARRAY[
             CASE WHEN a.doc ->> 'name' <> o.name THEN 'name' END,
             CASE WHEN (a.doc ->> 'birth_date')::date IS DISTINCT FROM o.birth_date AND a.doc ? 'birth_date' THEN 'birth_date' END,
             CASE WHEN a.doc ->> 'sex' <> o.sex THEN 'sex' END, CASE WHEN a.doc ->> 'phone' <> o.phone THEN 'phone' END,
             CASE WHEN a.doc ->> 'email' <> o.email THEN 'email' END, CASE WHEN a.doc ->> 'language' <> o.language THEN 'language' END,
             CASE WHEN a.doc ->> 'channel' <> o.channel THEN 'channel' END, CASE WHEN a.doc ->> 'consent' <> o.consent THEN 'consent' END,
             CASE WHEN a.doc ->> 'note' <> o.note THEN 'note' END], NULL) AS fields,
           CASE WHEN a.doc ? 'still' THEN NOT to_jsonb(o) @> (a.doc -> 'still') ELSE false END AS changed_since
      FROM asked a LEFT JOIN old o ON o.mrn = a.mrn AND a.doc ? 'mrn'
  ), made AS (
    INSERT INTO patient (mrn, name, birth_date, sex, phone, email, language, channel, consent, note)
    SELECT mrn, name, birth_date, sex, phone, email, language, channel, consent, note FROM named
     WHERE patient_id IS NULL AND (copy = 1 OR NOT has_mrn) AND name IS NOT NULL
     ORDER BY ord
    RETURNING patient_id, mrn
  ), changed AS (
    UPDATE patient p SET name = n.name, birth_date = n.birth_date, sex = n.sex, phone = n.phone, email = n.email,
           language = n.language, channel = n.channel, consent = n.consent, note = n.note, version = p.version + 1
      FROM named n
     WHERE p.patient_id = n.patient_id AND n.copy = 1 AND NOT n.taken AND n.fields <> '{}' AND NOT n.changed_since
    RETURNING p.patient_id, n.fields
  ), noted AS (
    INSERT INTO audit (action, patient_id, after)
    SELECT 'create-patient', patient_id, NULL FROM made
    UNION ALL
    SELECT 'change-patient', patient_id, jsonb_build_object('fields', fields) FROM changed
  )
  SELECT array_agg(ROW(n.ord,
         CASE WHEN m.patient_id IS NOT NULL AND (n.copy = 1 OR NOT n.has_mrn) THEN 'created'
              WHEN n.patient_id IS NULL AND n.name IS NULL THEN 'name-missing'
              WHEN n.copy > 1 AND n.has_mrn THEN 'again'
              WHEN n.taken THEN 'mrn-taken'
              WHEN n.fields <> '{}' AND n.changed_since THEN 'changed-since'
              WHEN n.fields <> '{}' THEN 'changed'
              ELSE 'unchanged' END,
         coalesce(m.patient_id, n.patient_id), n.mrn)::saved ORDER BY n.ord)
    INTO answers
    FROM named n LEFT JOIN made m ON m.mrn = n.mrn;
  -- That a field is what somebody thought, or is not any more, tells what it says.
  PERFORM note_look('look-patient', ARRAY(SELECT a.id FROM unnest(answers) a WHERE a.verdict IN ('unchanged', 'changed-since')));
  PERFORM leave_trace('change', ARRAY(SELECT a.id FROM unnest(answers) a WHERE a.verdict = 'changed'));
  RETURN QUERY SELECT * FROM unnest(answers);
EXCEPTION WHEN check_violation OR not_null_violation THEN
  GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
  PERFORM refuse_value(rule);
END $$;
COMMENT ON FUNCTION save_patients IS
  'Creates patients, or changes the fields that are given, by mrn; without one a number is given. A second row for an mrn in one '
  'call is told `again`; a row with `new` whose mrn belongs to somebody is told `mrn-taken`, one whose fields are not '
  '{still: fields and values} any more `changed-since`.';

CREATE FUNCTION merge_waiting(survivor integer, duplicate integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE waiting w SET ended_at = now(), reason = 'removed'
   WHERE w.patient_id IN (survivor, duplicate) AND w.ended_at IS NULL
     AND EXISTS (SELECT FROM waiting e
                  WHERE e.patient_id IN (survivor, duplicate) AND e.ended_at IS NULL AND e.test_id = w.test_id AND e.site_id = w.site_id
                    AND e.waiting_id < w.waiting_id);
  UPDATE waiting w SET patient_id = survivor WHERE w.patient_id = duplicate AND w.ended_at IS NULL;
END $$;
COMMENT ON FUNCTION merge_waiting IS 'Who waited under both keeps the earlier turn, with its days; the caller has locked the rows.';

CREATE FUNCTION merge_patients(survivor_mrn text, duplicate_mrn text, token text DEFAULT NULL) RETURNS TABLE (verdict text, moved integer, numbers jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  survivor patient;
  duplicate patient;
  clash text;
  count_moved integer;
BEGIN
  PERFORM enter(token, 'edit-patients');
  SELECT * INTO survivor FROM patient p WHERE p.mrn = survivor_mrn;
  SELECT * INTO duplicate FROM patient p WHERE p.mrn = duplicate_mrn;
  IF survivor.patient_id IS NULL OR duplicate.patient_id IS NULL THEN
    RETURN QUERY SELECT 'patient-unknown', 0, '{}'::jsonb;
    RETURN;
  END IF;
  PERFORM FROM waiting w
    WHERE w.patient_id IN (survivor.patient_id, duplicate.patient_id) AND w.ended_at IS NULL ORDER BY w.waiting_id FOR NO KEY UPDATE;
  PERFORM lock_for_booking('{}', ARRAY[survivor.patient_id, duplicate.patient_id]);
  PERFORM FROM appointment a
    WHERE a.patient_id IN (survivor.patient_id, duplicate.patient_id) ORDER BY a.appointment_id FOR NO KEY UPDATE;
  PERFORM release_expired('{}', ARRAY[survivor.patient_id, duplicate.patient_id]);
  PERFORM FROM patient p WHERE p.patient_id IN (survivor.patient_id, duplicate.patient_id) ORDER BY p.patient_id FOR NO KEY UPDATE;
  SELECT * INTO survivor FROM patient p WHERE p.mrn = survivor_mrn;
  SELECT * INTO duplicate FROM patient p WHERE p.mrn = duplicate_mrn;
  IF duplicate.merged_into = survivor.patient_id THEN
    RETURN QUERY SELECT 'merged', 0, '{}'::jsonb;
    RETURN;
  ELSIF survivor.patient_id = duplicate.patient_id OR survivor.merged_into IS NOT NULL OR duplicate.merged_into IS NOT NULL THEN
    RETURN QUERY SELECT 'already-merged', 0, '{}'::jsonb;
    RETURN;
  END IF;
  SELECT reference_of(a.appointment_id) INTO clash
    FROM appointment a JOIN appointment b ON b.patient_id = duplicate.patient_id AND b.active AND b.during && a.during
   WHERE a.patient_id = survivor.patient_id AND a.active LIMIT 1;
  IF clash IS NOT NULL THEN
    PERFORM note_look('look-appointment', ARRAY[survivor.patient_id, duplicate.patient_id]);
    RETURN QUERY SELECT 'patient-overlap', 0, jsonb_build_object('other', clash);
    RETURN;
  END IF;
  UPDATE appointment SET patient_id = survivor.patient_id, version = version + 1 WHERE patient_id = duplicate.patient_id;
  GET DIAGNOSTICS count_moved = ROW_COUNT;
  PERFORM merge_waiting(survivor.patient_id, duplicate.patient_id);
  UPDATE patient SET merged_into = survivor.patient_id, version = version + 1
   WHERE patient_id = duplicate.patient_id OR merged_into = duplicate.patient_id;
  IF duplicate.consent = 'declined' THEN
    UPDATE patient SET consent = 'declined' WHERE patient_id = survivor.patient_id;
  END IF;
  INSERT INTO audit (action, patient_id, before, after)
  VALUES ('merge-patient', survivor.patient_id, jsonb_build_object('duplicate', duplicate.patient_id), jsonb_build_object('moved', count_moved));
  RETURN QUERY SELECT 'merged', count_moved, '{}'::jsonb;
END $$;
COMMENT ON FUNCTION merge_patients IS
  'Makes two records of one person one: appointments and turns on the waiting list move to the survivor, the duplicate''s number goes on finding it. '
  'Who declined messages under either has declined them. Refused when both have an appointment at the same time.';


-- The hot reads ---------------------------------------------------------------------------------------------------

CREATE FUNCTION find_slots(
  sites text[], wanted_test text, first_day date, last_day date, from_time time DEFAULT '00:00', until_time time DEFAULT '24:00',
  bookable boolean DEFAULT true, most integer DEFAULT 200)
RETURNS TABLE (slot_id integer, site text, zone text, test text, resource text, starts_at timestamptz, ends_at timestamptz,
               capacity integer, remaining integer, status text, version integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH expired AS MATERIALIZED (
    SELECT u.slot_id, count(*)::integer AS places
      FROM appointment h CROSS JOIN LATERAL unnest(h.slots) u (slot_id)
     WHERE h.status = 'pending' AND h.held_until <= now() GROUP BY 1
  )
  SELECT s.slot_id, p.code::text, p.zone::text, t.code::text, m.code::text, s.starts_at, coalesce(upper(n.during), s.ends_at), s.capacity,
         greatest(coalesce(n.room, s.capacity - s.booked + coalesce(e.places, 0)), 0),
         CASE WHEN s.status <> 'free' OR n.closed THEN 'busy-unavailable'
              WHEN n.slots IS NOT NULL AND n.during IS NULL THEN 'busy-unavailable'
              WHEN coalesce(n.room, s.capacity - s.booked + coalesce(e.places, 0)) <= 0 THEN 'busy' ELSE 'free' END, s.version
    FROM test t
    JOIN resource_test o ON o.test_id = t.test_id
    JOIN resource m ON m.resource_id = o.resource_id AND m.active
    JOIN site p ON p.site_id = m.site_id AND p.active AND (sites IS NULL OR p.code = ANY (sites))
    JOIN slot s ON s.resource_id = m.resource_id AND s.site_id = p.site_id
     AND s.local_start >= first_day AND s.local_start < last_day + 1
     AND s.local_start::time >= from_time AND s.local_start::time < until_time
     AND s.status <> 'entered-in-error'
    LEFT JOIN expired e ON e.slot_id = s.slot_id
   CROSS JOIN LATERAL (SELECT CASE WHEN s.starts_at + make_interval(mins => t.duration_minutes) > s.ends_at
                                           OR t.buffer_before_minutes + t.buffer_after_minutes > 0
                                         THEN run_of(s.slot_id, t.test_id) END AS run OFFSET 0) r
   CROSS JOIN LATERAL (SELECT (r.run).*) n
   WHERE t.code = wanted_test AND t.active
     AND (NOT bookable OR (
          s.status = 'free' AND s.booked < s.capacity + coalesce(e.places, 0)
          AND s.starts_at > now() + make_interval(mins => t.lead_minutes)
          AND s.starts_at <= now() + make_interval(days => t.window_days)
          AND (n.slots IS NULL OR (n.during IS NOT NULL AND NOT n.closed AND n.room > 0))))
   ORDER BY s.starts_at, p.code, m.code
   LIMIT most;
END $$;
COMMENT ON FUNCTION find_slots IS
  'Slots where a test can start, by local day and time of day of the site; `remaining` is what is left in the fullest slot it '
  'would take, with expired holds counted as free. `bookable`: only those that `book` would accept now.';

CREATE FUNCTION day_board(wanted_site text, wanted_day date, token text DEFAULT NULL)
RETURNS TABLE (resource text, name text, tests text[], slot_id integer, starts_at timestamptz, ends_at timestamptz, capacity integer,
               taken integer, version integer, status text, closed_for text, holds jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  named boolean := EXISTS (SELECT FROM session s JOIN staff f USING (staff_id)
                            WHERE s.token_hash = token_hash(token) AND session_problem(s, f) IS NULL);
BEGIN
  RETURN QUERY
  WITH held AS MATERIALIZED (
    SELECT u.slot_id, count(*) FILTER (WHERE h.held_until <= now())::integer AS expired,
           jsonb_agg(jsonb_build_object('until', h.held_until, 'staff', CASE WHEN named THEN (
               SELECT max(a.staff) FROM audit a WHERE a.appointment_id = h.appointment_id AND a.action = 'hold') END)
             ORDER BY h.held_until) FILTER (WHERE h.held_until > now()) AS live
      FROM appointment h CROSS JOIN LATERAL unnest(h.slots) u (slot_id)
      JOIN slot o ON o.slot_id = u.slot_id JOIN site q ON q.site_id = o.site_id AND q.code = wanted_site
     WHERE h.status = 'pending' AND o.local_start >= wanted_day AND o.local_start < wanted_day + 1 GROUP BY 1
  )
  SELECT m.code::text, m.name::text,
         ARRAY(SELECT t.code::text FROM resource_test o JOIN test t USING (test_id) WHERE o.resource_id = m.resource_id AND t.active ORDER BY 1),
         s.slot_id, s.starts_at, s.ends_at, s.capacity, s.booked - coalesce(h.expired, 0), s.version, s.status,
         CASE WHEN s.status = 'busy-unavailable' THEN coalesce((
           SELECT max(c.reason) FROM closure c
            WHERE c.site_id = s.site_id AND (c.resource_id IS NULL OR c.resource_id = s.resource_id) AND c.reopened_at IS NULL
              AND c.during && tstzrange(s.starts_at, s.ends_at)), '') ELSE '' END,
         coalesce(h.live, '[]')
    FROM site p
    JOIN resource m ON m.site_id = p.site_id AND m.active
    LEFT JOIN slot s ON s.resource_id = m.resource_id AND s.local_start >= wanted_day AND s.local_start < wanted_day + 1
     AND s.status <> 'entered-in-error'
    LEFT JOIN held h ON h.slot_id = s.slot_id
   WHERE p.code = wanted_site AND p.active
   ORDER BY m.code, s.starts_at;
END $$;
COMMENT ON FUNCTION day_board IS
  'Every slot of a local day of a site, resource by resource (one without slots has a row of nulls), with the places taken, holds '
  'that hold among them, and why it is closed. Nothing about a patient; who holds is told to a live session alone.';

CREATE FUNCTION look_up(reference text) RETURNS SETOF appointment_facts
LANGUAGE sql STABLE SET search_path = app, ext, pg_temp AS
-- $1, because `reference` would be the column of the view: every appointment is the one its own reference names.
$$ SELECT * FROM appointment_facts WHERE appointment_id = appointment_id_of($1) $$;
COMMENT ON FUNCTION look_up IS 'The appointment a reference names, or nothing.';

CREATE FUNCTION counters() RETURNS TABLE (slots bigint, free bigint, miscounted bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
  SELECT count(*), count(*) FILTER (WHERE s.status = 'free' AND s.booked < s.capacity),
         count(*) FILTER (WHERE s.booked <> (SELECT count(*) FROM occupancy o WHERE o.slot_id = s.slot_id))
    FROM site p JOIN slot s USING (site_id)
   WHERE s.local_start BETWEEN now()::timestamp AND now()::timestamp + interval '14 days'
$$;
COMMENT ON FUNCTION counters IS 'How many slots the next two weeks have, how many have a free place, and how many are miscounted.';

CREATE FUNCTION oldest_unsent() RETURNS interval LANGUAGE sql STABLE SECURITY DEFINER SET search_path = app, ext, pg_temp AS
$$ SELECT now() - min(due_at) FROM notification WHERE num_nonnulls(sent_at, failed_at, cancelled_at) = 0 AND due_at <= now() $$;
COMMENT ON FUNCTION oldest_unsent IS 'How long the message is overdue that is most so; NULL when none is. Whoever claims one moves it on.';


-- The audit: looks, seals and their proof -------------------------------------------------------------------------

CREATE FUNCTION leave_trace(what text, patients integer[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(patients) = 0 THEN
    RETURN;
  END IF;
  RAISE LOG 'bookcli % by % from % at patients %', what, concat_ws(' ', session_user, nullif(current_setting('bookcli.staff', true), '')),
    concat_ws(' ', current_setting('application_name'), host(inet_client_addr())), patients;
END $$;
COMMENT ON FUNCTION leave_trace IS
  'Says in the server''s log who is told whom something is about. Whoever has the answer may take their transaction back, and the '
  'row of the audit with it; this line stays.';

CREATE FUNCTION takes_no_writes() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT current_setting('transaction_read_only')::boolean AND (pg_is_in_recovery() OR EXISTS (
    SELECT FROM pg_settings s
     WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on'
       AND s.source IN ('command line', 'configuration file', 'global', 'database')))
$$;
COMMENT ON FUNCTION takes_no_writes IS
  'Whether this server keeps nothing now, as a standby. That a client wants nothing kept does not count: a session, and a role for '
  'itself, may set that.';

CREATE FUNCTION note_look(what text, patients integer[], appointment bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SET search_path = app, ext, pg_temp AS $$
DECLARE
  seen integer[] := ARRAY(SELECT DISTINCT p FROM unnest(patients) p WHERE p IS NOT NULL ORDER BY p);
BEGIN
  IF cardinality(seen) = 0 THEN
    RETURN true;
  END IF;
  PERFORM leave_trace(what, seen);
  IF NOT takes_no_writes() THEN
    INSERT INTO audit (action, patient_id, appointment_id, after)
    VALUES (what, CASE WHEN cardinality(seen) = 1 THEN seen[1] END, appointment,
            CASE WHEN cardinality(seen) > 1 THEN jsonb_build_object('patients', seen) END);
  END IF;
  RETURN true;
END $$;
COMMENT ON FUNCTION note_look IS
  'Writes down one look at patients, in the audit and in the server''s log, always true; when nobody was seen there is nothing to '
  'write. On a server that takes no writes, such as a standby, the log alone has it: a desk must know who comes today when the primary is away. '
  'When the row cannot be written for any other reason the look fails with it: nobody looks unseen.';

CREATE FUNCTION look_at(reference text, token text DEFAULT NULL) RETURNS SETOF appointment_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
DECLARE
  facts appointment_facts;
BEGIN
  PERFORM enter(token, 'see-patients');
  FOR facts IN SELECT * FROM look_up(reference) LOOP
    PERFORM note_look('look-appointment', ARRAY[facts.patient_id], facts.appointment_id);
    RETURN NEXT facts;
  END LOOP;
END $$;
COMMENT ON FUNCTION look_at IS 'look_up for somebody''s eyes: the look is written down.';

CREATE FUNCTION steps_of(reference text, token text DEFAULT NULL)
RETURNS TABLE (at timestamptz, staff text, action text, from_status text, to_status text, from_start timestamptz, to_start timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'see-patients');
  RETURN QUERY
    SELECT u.at, u.staff, u.action, u.before ->> 'status', u.after ->> 'status', o.starts_at, n.starts_at
      FROM audit u
      LEFT JOIN slot o ON o.slot_id = (u.before ->> 'slot')::integer
      LEFT JOIN slot n ON n.slot_id = (u.after ->> 'slot')::integer
     WHERE u.appointment_id = appointment_id_of(reference) AND u.action NOT LIKE 'look-%'
     ORDER BY u.audit_id DESC LIMIT 100;
END $$;
COMMENT ON FUNCTION steps_of IS 'What was done to an appointment and by whom, the last first; nothing about the patient, and not who looked at it.';

CREATE FUNCTION place_of(reference text, token text DEFAULT NULL)
RETURNS TABLE (test text, site text, zone text, resource text, slots integer[], starts_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'book');
  RETURN QUERY SELECT f.test, f.site, f.zone, f.resource, f.slots, f.starts_at FROM look_up(reference) f;
END $$;
COMMENT ON FUNCTION place_of IS 'Which test an appointment is and where: what moving it takes, and nothing about the patient.';

CREATE FUNCTION references_from(begun text, most integer DEFAULT 50, token text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'see-patients');
  RETURN QUERY
    SELECT r.reference
      FROM (SELECT reference_of(a.appointment_id) AS reference, a.during
              FROM appointment a JOIN slot s USING (slot_id)
             WHERE a.active AND s.starts_at BETWEEN now() - interval '12 hours' AND now() + interval '14 days' LIMIT 5000) r
     WHERE starts_with(r.reference, begun) ORDER BY lower(r.during) LIMIT most;
END $$;
COMMENT ON FUNCTION references_from IS 'References that begin so, of active appointments from today on, the next ones first: for completion.';

-- A hold whose time is over is nobody's appointment any more, swept or not.
CREATE FUNCTION agenda(wanted_site integer, wanted_day date, only_resource text DEFAULT NULL, only_status text DEFAULT NULL,
                       token text DEFAULT NULL) RETURNS SETOF appointment_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  found appointment_facts[];
BEGIN
  PERFORM stay_within(enter(token, 'see-patients'), ARRAY[wanted_site]);
  found := ARRAY(
    SELECT f FROM appointment_facts f
     WHERE f.appointment_id IN (
             SELECT o.appointment_id FROM slot s JOIN occupancy o USING (slot_id)
              WHERE s.site_id = wanted_site AND s.local_start >= wanted_day AND s.local_start < wanted_day + 1
             UNION
             SELECT a.appointment_id FROM slot s JOIN appointment a USING (slot_id)
              WHERE s.site_id = wanted_site AND s.local_start >= wanted_day AND s.local_start < wanted_day + 1 AND NOT a.active)
       AND f.local_start >= wanted_day AND f.local_start < wanted_day + 1
       AND (f.held_until IS NULL OR f.held_until > now()) AND f.status <> 'entered-in-error'
       AND (only_resource IS NULL OR f.resource = only_resource) AND (only_status IS NULL OR f.status::text = only_status)
     ORDER BY f.starts_at, f.resource, f.appointment_id);
  PERFORM note_look('look-agenda', ARRAY(SELECT x.patient_id FROM unnest(found) x));
  RETURN QUERY SELECT * FROM unnest(found);
END $$;
COMMENT ON FUNCTION agenda IS
  'Every appointment that starts on a local day of a site, cancelled ones too, by start and resource. The look is written down.';

CREATE FUNCTION history_of(mrn text, past boolean, token text DEFAULT NULL) RETURNS SETOF appointment_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  who    integer;
  found  appointment_facts[];
BEGIN
  PERFORM enter(token, 'see-patients');
  SELECT coalesce(p.merged_into, p.patient_id) INTO who FROM patient p WHERE p.mrn = $1;
  found := ARRAY(
    SELECT f FROM appointment_facts f
     WHERE f.patient_id = who AND (f.held_until IS NULL OR f.held_until > now())
       AND (past OR (f.active AND f.ends_at > now()))
     ORDER BY f.starts_at, f.appointment_id);
  PERFORM note_look('look-history', ARRAY[who]);
  RETURN QUERY SELECT * FROM unnest(found);
END $$;
COMMENT ON FUNCTION history_of IS
  'The appointments of whom a number means: those not over yet and still standing, or all of them. The look is written down, '
  'also at nothing: that somebody has none is known of them then.';

CREATE FUNCTION affected(wanted_site integer, wanted_resource integer, begins timestamptz, ends timestamptz, token text DEFAULT NULL)
RETURNS SETOF appointment_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  found appointment_facts[];
BEGIN
  PERFORM stay_within(enter(token, 'see-patients'), ARRAY[wanted_site]);
  found := ARRAY(
    SELECT f FROM appointment_facts f
     WHERE f.appointment_id IN (
             SELECT o.appointment_id FROM slot s JOIN occupancy o USING (slot_id)
              WHERE s.site_id = wanted_site AND s.starts_at < ends AND s.ends_at > begins
                -- The local day narrows it to the index; the clocks of the world differ from UTC by less than a day.
                AND s.local_start >= begins::date - 2 AND s.local_start < ends::date + 2
                AND (wanted_resource IS NULL OR s.resource_id = wanted_resource))
       AND f.status IN ('pending', 'booked', 'arrived', 'checked-in') AND (f.held_until IS NULL OR f.held_until > now())
     ORDER BY f.starts_at, f.resource, f.appointment_id);
  PERFORM note_look('look-affected', ARRAY(SELECT x.patient_id FROM unnest(found) x));
  RETURN QUERY SELECT * FROM unnest(found);
END $$;
COMMENT ON FUNCTION affected IS
  'Who is booked or held in a slot that touches a period at a site or one resource of it, by start. The look is written down.';

CREATE VIEW patient_facts AS
  SELECT p.patient_id, p.mrn, p.name::text AS name, p.birth_date, p.sex, p.phone, p.email, p.language, p.channel, p.consent, p.note,
         s.mrn AS merged_into, coalesce(n.ahead, 0)::integer AS appointments_ahead, n.next_start, n.next_zone,
         n.next_reference, n.next_test, n.next_site,
         (SELECT count(*) FROM appointment m
           WHERE m.patient_id = p.patient_id AND m.status = 'noshow' AND lower(m.during) > now() - interval '1 year')::integer AS missed
    FROM patient p
    LEFT JOIN patient s ON s.patient_id = p.merged_into
    LEFT JOIN LATERAL (
      SELECT lower(a.during) AS next_start, c.zone::text AS next_zone, reference_of(a.appointment_id) AS next_reference,
             t.code::text AS next_test, c.code::text AS next_site, count(*) OVER () AS ahead
        FROM appointment a JOIN slot o USING (slot_id) JOIN site c USING (site_id) JOIN test t USING (test_id)
       WHERE a.patient_id = p.patient_id AND lower(a.during) > now()
         AND (a.status = 'booked' OR (a.status = 'pending' AND a.held_until > now()))
       ORDER BY lower(a.during) LIMIT 1) n ON true;
COMMENT ON VIEW patient_facts IS 'A patient as a desk sees one.';

CREATE FUNCTION look_at_patient(mrn text, token text DEFAULT NULL) RETURNS SETOF patient_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  facts patient_facts;
BEGIN
  PERFORM enter(token, 'see-patients');
  FOR facts IN SELECT * FROM patient_facts f WHERE f.mrn = $1 LOOP
    PERFORM note_look('look-patient', ARRAY[facts.patient_id]);
    RETURN NEXT facts;
  END LOOP;
END $$;
COMMENT ON FUNCTION look_at_patient IS 'The record with exactly this number, merged or not. The look is written down.';

CREATE FUNCTION survivor_of(mrn text, token text DEFAULT NULL) RETURNS TABLE (number text, merged_into text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'see-patients');
  RETURN QUERY SELECT p.mrn, s.mrn FROM patient p LEFT JOIN patient s ON s.patient_id = p.merged_into WHERE p.mrn = $1;
END $$;
COMMENT ON FUNCTION survivor_of IS 'Whether a number is somebody''s, and into which record that was merged; nothing else about them.';

CREATE FUNCTION find_patients(number text, digits text, words text[], birth_dates date[], most integer, token text DEFAULT NULL)
RETURNS SETOF patient_facts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  -- What may stand before a word of a name; several LIKEs, because a trigram index serves each.
  before constant text[] := ARRAY['', '% ', '%-', '%'''];
  patterns text[] := ARRAY(
    SELECT b || replace(replace(replace(fold(w), '\', '\\'), '%', '\%'), '_', '\_') || '%'
      FROM unnest(words) WITH ORDINALITY AS u (w, ord), unnest(before) b ORDER BY ord);
  begun text := '';
  found patient_facts[];
BEGIN
  PERFORM enter(token, 'see-patients');
  FOR n IN 1 .. cardinality(words) LOOP
    begun := begun || format(' AND (p.search_name LIKE $5[%s] OR p.search_name LIKE $5[%s] OR p.search_name LIKE $5[%s] OR p.search_name LIKE $5[%s])',
                             4 * n - 3, 4 * n - 2, 4 * n - 1, 4 * n);
  END LOOP;
  -- Planned for what was typed (a word that everybody has is looked for differently from one that one person has), but
  -- without it in the text: that may be logged.
  EXECUTE format($query$
    SELECT ARRAY(
      SELECT f FROM patient_facts f
       WHERE f.patient_id IN (
         SELECT coalesce(p.merged_into, p.patient_id) FROM patient p WHERE p.mrn IN ($1, upper($1), lower($1))
         UNION
         SELECT coalesce(p.merged_into, p.patient_id) FROM patient p
          WHERE $2 <> '' AND p.phone <> '' AND phone_tail(p.phone) LIKE reverse($2) || '%%'
         UNION
         SELECT coalesce(p.merged_into, p.patient_id) FROM patient p WHERE %s %s %s)
       ORDER BY NOT f.mrn IN ($1, upper($1), lower($1)), fold(f.name), f.birth_date, f.mrn LIMIT $4)
    $query$, (cardinality(words) > 0 OR cardinality(birth_dates) > 0)::text, begun,
    CASE WHEN cardinality(birth_dates) > 0 THEN 'AND p.birth_date = ANY ($3)' ELSE '' END)
    INTO found USING number, digits, birth_dates, most, patterns;
  PERFORM note_look('look-search', ARRAY(SELECT x.patient_id FROM unnest(found) x));
  RETURN QUERY SELECT * FROM unnest(found);
END $$;
COMMENT ON FUNCTION find_patients IS
  'Who fits: the exact number; or the end of a phone number; or every word as the beginning of one of their names, accents and case '
  'ignored, and one of the birth dates. The number first, then by name. A merged record finds the survivor. The look is written down.';

CREATE FUNCTION known_numbers(numbers text[], token text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'edit-patients');
  RETURN QUERY SELECT p.mrn FROM patient p WHERE p.mrn = ANY (numbers);
END $$;
COMMENT ON FUNCTION known_numbers IS 'Those of the numbers that somebody has; nothing else about them.';

CREATE FUNCTION refused_keys(keys uuid[], token text DEFAULT NULL) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'book');
  RETURN QUERY SELECT r.request_key FROM request r WHERE r.request_key = ANY (keys) AND r.appointment_id IS NULL;
END $$;
COMMENT ON FUNCTION refused_keys IS 'Those of the request keys under which a refusal is kept.';

CREATE FUNCTION export_highest(token text DEFAULT NULL) RETURNS TABLE (patients bigint, appointments bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'export');
  RETURN QUERY SELECT coalesce((SELECT max(p.patient_id) FROM patient p), 0)::bigint, coalesce((SELECT max(a.appointment_id) FROM appointment a), 0);
END $$;
COMMENT ON FUNCTION export_highest IS 'The highest ids: an export goes up to them in steps, without a cursor and without a long transaction.';

CREATE FUNCTION export_patients(above bigint, upto bigint, token text DEFAULT NULL)
RETURNS TABLE (mrn text, name text, birth_date date, sex text, phone text, email text, language text, channel text, consent text,
               note text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'export');
  PERFORM note_look('look-export', ARRAY(
    SELECT p.patient_id FROM patient p WHERE p.patient_id > above AND p.patient_id <= upto AND p.merged_into IS NULL));
  RETURN QUERY
    SELECT p.mrn, p.name::text, p.birth_date, p.sex, p.phone, p.email, p.language, p.channel, p.consent, p.note
      FROM patient p WHERE p.patient_id > above AND p.patient_id <= upto AND p.merged_into IS NULL ORDER BY p.patient_id;
END $$;
COMMENT ON FUNCTION export_patients IS 'The patients with ids in (above, upto], without merged records. The look is written down.';

CREATE FUNCTION export_appointments(above bigint, upto bigint, only_site text DEFAULT NULL, first date DEFAULT NULL, last date DEFAULT NULL,
                                    token text DEFAULT NULL)
RETURNS TABLE (reference text, patient text, test text, site text, resource text, starts_at timestamptz, zone text, status text, note text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'export');
  found appointment_facts[];
BEGIN
  found := ARRAY(
    SELECT f FROM appointment_facts f
     WHERE f.appointment_id > above AND f.appointment_id <= upto
       AND f.status IN ('booked', 'arrived', 'checked-in', 'fulfilled', 'cancelled', 'noshow')
       AND (only_site IS NULL OR f.site = only_site) AND (acting.sites IS NULL OR f.site_id = ANY (acting.sites))
       AND (first IS NULL OR f.local_start >= first) AND (last IS NULL OR f.local_start < last + 1)
     ORDER BY f.appointment_id);
  PERFORM note_look('look-export', ARRAY(SELECT x.patient_id FROM unnest(found) x));
  RETURN QUERY SELECT x.reference, x.patient, x.test, x.site, x.resource, x.starts_at, x.zone, x.status::text, x.note FROM unnest(found) x;
END $$;
COMMENT ON FUNCTION export_appointments IS
  'The appointments with ids in (above, upto] that are booked, ended or cancelled, at the sites of whoever asks; holds are none yet. '
  'The look is written down.';

CREATE FUNCTION seal_hash(previous bytea, number bigint, id bigint, moment timestamptz, entry audit) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT sha256(coalesce(previous, '') || convert_to(jsonb_build_array(
           number, id, extract(epoch FROM moment), extract(epoch FROM entry.at), entry.actor, entry.staff, entry.source, entry.action,
           entry.patient_id, entry.appointment_id, entry.before, entry.after)::text, 'UTF8'))
$$;
COMMENT ON FUNCTION seal_hash IS
  'SHA-256 over the hash before and the row as JSON: the same on every server version, in every time zone. For sealed '
  'rows it can never change; what audit gains later must go into before or after, or into a new form told by seal_number.';

CREATE FUNCTION audit_writers() RETURNS text[] LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') FROM pg_locks l
   WHERE l.locktype = 'relation' AND l.relation = 'app.audit'::regclass AND l.mode = 'RowExclusiveLock'
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
COMMENT ON FUNCTION audit_writers IS
  'The transactions that have, or may have, written to audit and not ended: this lock comes before an id and goes after '
  'the commit can be seen.';

CREATE FUNCTION seal_audit(most integer DEFAULT 5000, token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  progress  sealing;
  entry     audit;
  moment    timestamptz := clock_timestamp();
  chained   bytea;
  sealed    integer := 0;
  wanted    integer := greatest(most, 1);
  last_id   bigint;
  ended     boolean;
BEGIN
  PERFORM enter(token, 'seal-audit');
  IF NOT pg_try_advisory_xact_lock(3, 0) THEN
    RETURN NULL;
  END IF;
  SELECT * INTO progress FROM sealing;
  ended := NOT progress.writers && audit_writers();
  SELECT s.hash INTO chained FROM seal s ORDER BY s.seal_number DESC LIMIT 1;
  -- A statement of its own, after the writers were asked: whatever they committed can be seen now.
  FOR entry IN
    SELECT a.* FROM audit a
     WHERE a.audit_id > progress.settled
       AND NOT EXISTS (SELECT FROM seal s WHERE s.audit_id = a.audit_id AND s.audit_id > progress.settled)
     ORDER BY a.audit_id LIMIT wanted
  LOOP
    sealed := sealed + 1;
    last_id := entry.audit_id;
    chained := seal_hash(chained, progress.seals + sealed, last_id, moment, entry);
    INSERT INTO seal (seal_number, audit_id, sealed_at, hash) VALUES (progress.seals + sealed, last_id, moment, chained);
  END LOOP;
  progress.seals := progress.seals + sealed;
  IF ended THEN
    progress.settled := CASE WHEN sealed < wanted THEN progress.seen
                             ELSE greatest(progress.settled, least(progress.seen, last_id)) END;
    IF progress.settled = progress.seen THEN
      SELECT coalesce(max(a.audit_id), 0) INTO progress.seen FROM audit a;
      progress.writers := audit_writers();
    END IF;
  END IF;
  UPDATE sealing SET seals = progress.seals, settled = progress.settled, seen = progress.seen, writers = progress.writers
   WHERE (seals, settled, seen, writers) IS DISTINCT FROM (progress.seals, progress.settled, progress.seen, progress.writers);
  RETURN sealed;
END $$;
COMMENT ON FUNCTION seal_audit IS
  'Chains at most so many committed rows that have no seal, lowest first; how many, or NULL when somebody else is sealing. '
  'Ids are drawn before they are committed, so a lower one may come late: it is found because it lies above settled.';

CREATE FUNCTION audit_entries(wanted jsonb, above bigint DEFAULT 0, upto bigint DEFAULT 9223372036854775807, most integer DEFAULT 100,
                              token text DEFAULT NULL)
RETURNS TABLE (audit_id bigint, at timestamptz, actor text, staff text, source text, action text, before jsonb, after jsonb,
               patient text, reference text, seal bigint, hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  people integer[] := ARRAY(SELECT jsonb_array_elements_text(wanted -> 'patients'))::integer[];
BEGIN
  PERFORM enter(token, 'read-audit');
  RETURN QUERY
    SELECT a.audit_id, a.at, a.actor, a.staff, a.source, a.action, a.before, a.after, p.mrn,
           CASE WHEN a.appointment_id IS NOT NULL THEN reference_of(a.appointment_id) END, s.seal_number, encode(s.hash, 'hex')
      FROM audit a
      LEFT JOIN patient p ON p.patient_id = a.patient_id
      LEFT JOIN seal s ON s.audit_id = a.audit_id
     WHERE a.audit_id > above AND a.audit_id <= upto
       AND (NOT wanted ? 'audit_id' OR a.audit_id = (wanted ->> 'audit_id')::bigint)
       AND (NOT wanted ? 'patients' OR a.patient_id = ANY (people)
            OR EXISTS (SELECT FROM unnest(people) n WHERE a.after @> jsonb_build_object('patients', jsonb_build_array(n))
                                                       OR a.before @> jsonb_build_object('duplicate', n)))
       AND (NOT wanted ? 'appointment' OR a.appointment_id = (wanted ->> 'appointment')::bigint)
       AND (NOT wanted ? 'actor' OR wanted ->> 'actor' IN (a.actor, a.staff))
       AND (NOT wanted ? 'action' OR starts_with(a.action, wanted ->> 'action'))
       AND (NOT wanted ? 'since' OR a.at >= (wanted ->> 'since')::timestamptz)
       AND (NOT wanted ? 'until' OR a.at < (wanted ->> 'until')::timestamptz)
     ORDER BY a.audit_id DESC LIMIT most;
END $$;
COMMENT ON FUNCTION audit_entries IS
  'Rows of the audit with ids in (above, upto] that fit {audit_id, patients, appointment, actor, action, since, until}, newest '
  'first: patients by their numbers, appointments by their references, and the seal of each row.';

CREATE FUNCTION audit_highest(token text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'read-audit');
  RETURN coalesce((SELECT max(a.audit_id) FROM audit a), 0);
END $$;
COMMENT ON FUNCTION audit_highest IS 'The highest id: an export goes up to it in steps.';

CREATE FUNCTION ask_audit(mrn text, token text DEFAULT NULL) RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
DECLARE
  person   integer;
  records  integer[];
BEGIN
  PERFORM enter(token, 'read-audit');
  SELECT coalesce(p.merged_into, p.patient_id) INTO person FROM patient p WHERE p.mrn = $1;
  records := ARRAY(SELECT p.patient_id FROM patient p WHERE p.patient_id = person OR p.merged_into = person ORDER BY 1);
  PERFORM note_look('look-audit', records);
  RETURN records;
END $$;
COMMENT ON FUNCTION ask_audit IS
  'The ids of all records of the person a number means, merged ones too, empty when nobody has it; that somebody asked is written down.';

CREATE FUNCTION numbers_of(patients integer[], token text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'read-audit');
  RETURN QUERY SELECT p.mrn FROM patient p WHERE p.patient_id = ANY (patients) ORDER BY p.mrn;
END $$;
COMMENT ON FUNCTION numbers_of IS 'The numbers behind the ids in a row of the audit.';

CREATE FUNCTION why_broken(number bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  broken    seal;
  previous  bytea;
  there     boolean;
BEGIN
  SELECT * INTO broken FROM seal WHERE seal_number = number;
  IF broken.seal_number IS NULL THEN
    RETURN 'seal-missing';
  END IF;
  SELECT hash INTO previous FROM seal WHERE seal_number = number - 1;
  there := EXISTS (SELECT FROM audit WHERE audit_id = broken.audit_id);
  IF EXISTS (SELECT FROM audit b
              WHERE broken.hash IN (seal_hash(previous, number, broken.audit_id, broken.sealed_at, b),
                                    seal_hash(previous, number, b.audit_id, broken.sealed_at, b))) THEN
    RETURN CASE WHEN there THEN 'reordered' ELSE 're-inserted' END;
  ELSIF NOT there THEN
    RETURN 'deleted';
  ELSIF EXISTS (SELECT FROM audit a, seal q
                 WHERE a.audit_id = broken.audit_id
                   AND broken.hash IN (seal_hash(q.hash, q.seal_number, broken.audit_id, broken.sealed_at, a),
                                       seal_hash(q.hash, q.seal_number + 1, broken.audit_id, broken.sealed_at, a))) THEN
    RETURN 'reordered';
  END IF;
  RETURN 'edited';
END $$;
COMMENT ON FUNCTION why_broken IS
  'What happened to the row of a seal that does not fit: the row or seal that does fit here is looked for everywhere.';

CREATE FUNCTION verify_audit(kept_number bigint DEFAULT NULL, kept_hash text DEFAULT NULL, token text DEFAULT NULL)
RETURNS TABLE (sealed bigint, unsealed bigint, broken bigint, first_broken bigint, problem text, audit_id bigint,
               head_number bigint, head_hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  progress  sealing;
  inserted  bigint;
BEGIN
  PERFORM enter(token, 'verify');
  SELECT * INTO progress FROM sealing;
  SELECT count(*), count(*) FILTER (WHERE wrong), min(coalesce(gap, seal_number)) FILTER (WHERE wrong)
    INTO sealed, broken, first_broken
    FROM (SELECT c.seal_number, c.gap,
                 c.gap IS NOT NULL OR a.audit_id IS NULL
                 OR c.hash <> seal_hash(c.previous, c.seal_number, c.audit_id, c.sealed_at, a) AS wrong
            FROM (SELECT s.*, lag(s.hash) OVER w AS previous,
                         CASE WHEN s.seal_number <> lag(s.seal_number, 1, 0) OVER w + 1
                              THEN lag(s.seal_number, 1, 0) OVER w + 1 END AS gap
                    FROM seal s WINDOW w AS (ORDER BY s.seal_number)) c
            LEFT JOIN audit a ON a.audit_id = c.audit_id) x;
  SELECT count(*) FILTER (WHERE a.audit_id > progress.settled), count(*) FILTER (WHERE a.audit_id <= progress.settled),
         min(a.audit_id)
    INTO unsealed, inserted, audit_id
    FROM audit a WHERE NOT EXISTS (SELECT FROM seal s WHERE s.audit_id = a.audit_id);
  SELECT s.seal_number, encode(s.hash, 'hex') INTO head_number, head_hash FROM seal s ORDER BY s.seal_number DESC LIMIT 1;
  broken := broken + inserted;
  IF first_broken IS NOT NULL THEN
    problem := why_broken(first_broken);
    audit_id := (SELECT s.audit_id FROM seal s WHERE s.seal_number = first_broken);
  ELSIF progress.seals > coalesce(head_number, 0) OR kept_number > coalesce(head_number, 0) THEN
    broken := broken + 1;
    first_broken := coalesce(head_number, 0) + 1;
    problem := 'cut';
    audit_id := NULL;
  ELSIF kept_number > 0 AND kept_hash IS DISTINCT FROM
        (SELECT encode(s.hash, 'hex') FROM seal s WHERE s.seal_number = kept_number) THEN
    broken := broken + 1;
    first_broken := kept_number;
    problem := 'forged';
    audit_id := (SELECT s.audit_id FROM seal s WHERE s.seal_number = kept_number);
  ELSIF inserted > 0 THEN
    problem := 'inserted';
  ELSE
    audit_id := NULL;
  END IF;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION verify_audit IS
  'Recomputes every seal: how many, how many rows wait for one, how many do not fit, the first that does not and why '
  '(edited, deleted, reordered, re-inserted, inserted, seal-missing, cut), and the head to keep elsewhere. Who may do '
  'everything can chain everything anew: given a head that was kept, that is found too (forged).';


-- The messages ----------------------------------------------------------------------------------------------------
-- A relay claims what is due and hands its numbers on; a job takes a lease, sends, and says what became of it. Nothing
-- that is lost on the way, in Redis or with a process, is lost here: it is claimed again when its time is over. What a
-- crash of the server forgets of all this is at worst a message that is sent twice, so none of it waits for the disk.

CREATE FUNCTION is_waiting(n notification) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT num_nonnulls(n.sent_at, n.failed_at, n.cancelled_at) = 0 $$;
COMMENT ON FUNCTION is_waiting IS 'Whether it has yet to be sent.';

CREATE FUNCTION tried(n notification) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT n.attempts - n.most_attempts + 10 $$;
COMMENT ON FUNCTION tried IS 'Of its ten attempts, how many were made by the way by which it goes now, and since somebody had it tried again.';

CREATE FUNCTION message_state(n notification) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN n.sent_at IS NOT NULL THEN 'sent' WHEN n.failed_at IS NOT NULL THEN 'failed'
              WHEN n.cancelled_at IS NOT NULL THEN 'cancelled' WHEN n.leased_until > now() THEN 'sending' ELSE 'waiting' END
$$;

CREATE VIEW message_about AS
  SELECT n.notification_id, a.appointment_id, coalesce(a.patient_id, p.merged_into, p.patient_id) AS patient_id,
         coalesce(a.test_id, r.test_id) AS test_id, coalesce(a.slot_id, r.slot_id) AS slot_id, a.visit_id,
         coalesce(a.version, 0) AS appointment_version, coalesce(lower(a.during), s.starts_at) AS starts_at,
         coalesce(upper(a.during), s.ends_at) AS ends_at,
         CASE WHEN n.request_key IS NULL THEN a.active AND a.status <> 'pending' ELSE q.appointment_id IS NULL END AS stands,
         CASE WHEN a.status = 'pending' THEN a.held_until END AS held_until
    FROM notification n
    LEFT JOIN appointment a ON a.appointment_id = n.appointment_id
    LEFT JOIN refusal r ON r.request_key = n.request_key
    LEFT JOIN request q ON q.request_key = r.request_key
    LEFT JOIN patient p ON p.patient_id = r.patient_id
    LEFT JOIN slot s ON s.slot_id = r.slot_id;
COMMENT ON VIEW message_about IS 'What each message is about: an appointment, or a request that was refused, for which nothing was booked since.';

CREATE FUNCTION overtaken(kind text, about message_about) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN kind = 'offer' AND (about.held_until > now()) IS NOT TRUE THEN 'offer-over'
              WHEN kind NOT IN ('cancellation', 'refusal', 'offer') AND NOT about.stands THEN 'not-booked'
              WHEN kind = 'cancellation' AND about.stands OR kind = 'refusal' AND NOT about.stands THEN 'booked' END
$$;
COMMENT ON FUNCTION overtaken IS 'Why a message that waits will never be sent, because of what has become of what it is about; NULL when it will.';

CREATE FUNCTION whole_messages(ids bigint[]) RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT ARRAY(
    SELECT unnest(ids)
     UNION
    SELECT o.notification_id
      FROM notification n
      JOIN appointment a USING (appointment_id)
      JOIN appointment b ON b.visit_id = a.visit_id
      JOIN notification o ON o.appointment_id = b.appointment_id AND o.kind = n.kind AND o.recipient = n.recipient
     WHERE n.notification_id = ANY (ids) AND (n.kind = 'confirmation' OR o.message_id = n.message_id)
     UNION
    SELECT o.notification_id
      FROM notification n JOIN notification o ON o.message_id = n.message_id AND o.request_key IS NOT NULL
     WHERE n.notification_id = ANY (ids) AND n.request_key IS NOT NULL
     ORDER BY 1)
$$;
COMMENT ON FUNCTION whole_messages IS
  'The rows with all those that go into the same message: the confirmations of one visit, and what was made under one message_id.';

CREATE FUNCTION channel_of(p patient, ways text[]) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT c FROM unnest(CASE p.channel WHEN 'sms' THEN ARRAY['sms', 'email'] ELSE ARRAY['email', 'sms'] END) WITH ORDINALITY AS u (c, n)
   WHERE p.channel <> 'none' AND p.consent <> 'declined' AND c = ANY (ways)
     AND CASE c WHEN 'email' THEN p.email <> '' ELSE p.phone LIKE '+%' END
   ORDER BY n LIMIT 1
$$;
COMMENT ON FUNCTION channel_of IS
  'By which of the ways that there are somebody is told: the one they prefer, else another on which they can be reached; NULL is '
  'none. A telephone is reached under a number with its country.';

CREATE FUNCTION quiet_end(s site, moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT ((moment AT TIME ZONE s.zone)::date + late::integer + s.quiet_until) AT TIME ZONE s.zone
    FROM (SELECT (moment AT TIME ZONE s.zone)::time AS wall) w
   CROSS JOIN LATERAL (SELECT s.quiet_from > s.quiet_until AND wall >= s.quiet_from AS late) l
   WHERE late OR (wall < s.quiet_until AND (s.quiet_from > s.quiet_until OR wall >= s.quiet_from))
$$;
COMMENT ON FUNCTION quiet_end IS 'When the quiet hours of a site end in which the moment lies; NULL when it lies in none.';

CREATE FUNCTION claim_notifications(most integer DEFAULT 100, token text DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter(token, 'send');
  PERFORM set_config('synchronous_commit', 'off', true);
  RETURN QUERY
    UPDATE notification n SET due_at = now() + interval '30 seconds'
      FROM (SELECT w.notification_id FROM notification w
             WHERE num_nonnulls(w.sent_at, w.failed_at, w.cancelled_at) = 0 AND w.due_at <= now()
               AND (w.leased_until IS NULL OR w.leased_until <= now())
             ORDER BY w.due_at LIMIT least(most, 1000) FOR NO KEY UPDATE SKIP LOCKED) c
     WHERE n.notification_id = c.notification_id
    RETURNING n.notification_id;
END $$;
COMMENT ON FUNCTION claim_notifications IS
  'The numbers of messages that are due and that nobody is sending. They are not offered again for 30 s, then they are, unless '
  'a lease or an end was noted meanwhile: a sweeper is not needed.';

CREATE TYPE outgoing AS (
  notification_id      bigint,
  message_id           uuid,
  kind                 text,
  attempts             integer,
  reference            text,
  appointment_version  integer,
  starts_at            timestamptz,
  ends_at              timestamptz,
  zone                 text,
  site_name            text,
  site_phone           text,
  test_name            text,
  preparation          text,
  patient_name         text,
  email                text,
  phone                text,
  language             text,
  channel              text,
  site                 text,
  test                 text,
  names_test           boolean,
  held_until           timestamptz,
  leased_until         timestamptz
);
COMMENT ON TYPE outgoing IS
  'All that is needed to write to a patient about one appointment; rows with one message_id are one message. leased_until names the lease.';

CREATE FUNCTION outgoing_of(ids bigint[]) RETURNS SETOF outgoing LANGUAGE sql STABLE AS $$
  SELECT n.notification_id, coalesce(first.message_id, n.message_id), n.kind, tried(n), coalesce(reference_of(b.appointment_id), ''),
         b.appointment_version, b.starts_at, b.ends_at, c.zone::text, c.name::text, c.phone, t.name::text, t.preparation, p.name::text,
         p.email, p.phone, p.language, n.channel, c.code::text, t.code::text, c.names_test, b.held_until, n.leased_until
    FROM notification n
    JOIN message_about b USING (notification_id)
    JOIN patient p USING (patient_id)
    JOIN test t USING (test_id)
    JOIN slot s ON s.slot_id = b.slot_id
    JOIN site c ON c.site_id = s.site_id
    LEFT JOIN LATERAL (
      SELECT o.message_id FROM appointment v JOIN notification o ON o.appointment_id = v.appointment_id AND o.kind = n.kind AND o.recipient = n.recipient
       WHERE n.kind = 'confirmation' AND v.visit_id = b.visit_id ORDER BY o.notification_id LIMIT 1) first ON true
   WHERE n.notification_id = ANY (ids)
   ORDER BY b.starts_at, n.notification_id
$$;

CREATE FUNCTION drop_unsendable(ids bigint[], ways text[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE notification n
     SET cancelled_at = CASE WHEN w.why <> 'too-many-attempts' THEN now() END,
         failed_at = CASE WHEN w.why = 'too-many-attempts' THEN now() END,
         reason = CASE WHEN w.why = 'too-many-attempts' AND n.reason <> '' THEN n.reason ELSE w.why END
    FROM (SELECT o.notification_id,
                 coalesce(
                   overtaken(o.kind, b),
                   CASE WHEN b.starts_at <= now() - CASE o.kind WHEN 'refusal' THEN interval '1 day' ELSE interval '0' END THEN 'too-late' END,
                   CASE WHEN o.recipient = 'webhook' THEN CASE WHEN 'webhook' <> ALL (ways) THEN 'no-webhook' END
                        WHEN p.consent = 'declined' THEN 'declined'
                        WHEN p.channel = 'none' THEN 'not-wanted'
                        WHEN channel_of(p, array_remove(ways, o.bounced)) IS NULL
                        THEN CASE WHEN o.bounced IS NULL THEN 'no-address' ELSE 'too-many-attempts' END END,
                   CASE WHEN o.attempts >= o.most_attempts THEN 'too-many-attempts' END) AS why
            FROM notification o JOIN message_about b USING (notification_id) JOIN patient p USING (patient_id)
           WHERE o.notification_id = ANY (ids)) w
   WHERE n.notification_id = w.notification_id AND w.why IS NOT NULL;
END $$;
COMMENT ON FUNCTION drop_unsendable IS
  'Ends what is about nothing booked any more, comes too late, is not wanted, has no address or failed too often; `reason` says which.';

CREATE FUNCTION put_off_quiet(ids bigint[], ways text[]) RETURNS bigint[]
LANGUAGE sql AS $$
  WITH due AS (
    SELECT o.notification_id, s AS site, o.kind, o.kind = 'reminder' OR channel_of(p, array_remove(ways, o.bounced)) = 'sms' AS disturbs,
           min(b.starts_at) OVER (PARTITION BY o.kind, coalesce(b.visit_id, -b.appointment_id)) AS starts_at
      FROM notification o JOIN message_about b USING (notification_id) JOIN patient p USING (patient_id)
      JOIN slot t USING (slot_id) JOIN site s ON s.site_id = t.site_id
     WHERE o.notification_id = ANY (ids) AND o.recipient = 'patient' AND is_waiting(o) AND s.quiet_from IS NOT NULL
  ), put_off AS (
    UPDATE notification n SET due_at = quiet_end(d.site, now()), reason = 'quiet-hours'
      FROM due d
     WHERE n.notification_id = d.notification_id AND d.disturbs
       AND (d.starts_at > quiet_end(d.site, now()) OR (d.kind = 'refusal' AND quiet_end(d.site, now()) IS NOT NULL))
    RETURNING n.notification_id
  )
  SELECT coalesce(array_agg(notification_id), '{}') FROM put_off
$$;
COMMENT ON FUNCTION put_off_quiet IS
  'Lets reminders and text messages wait until the quiet hours of their site are over, unless the appointment begins in them; which.';

CREATE FUNCTION tell_webhook(ids bigint[]) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO notification (appointment_id, request_key, kind, moment, recipient, message_id)
  SELECT n.appointment_id, n.request_key, n.kind, n.moment, 'webhook', md5(n.message_id || ' webhook')::uuid
    FROM notification n
   WHERE n.notification_id = ANY (ids) AND n.recipient = 'patient'
     AND (n.leased_until > now() OR n.reason IN ('declined', 'not-wanted', 'no-address'))
   ORDER BY n.notification_id
      ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION tell_webhook IS
  'Has the clinic''s other systems told too of what is sent to a patient, or would be if they could be reached: once, whoever asks.';

CREATE FUNCTION lease_notifications(ids bigint[], seconds integer, ways text[] DEFAULT '{email}', token text DEFAULT NULL) RETURNS SETOF outgoing
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  wanted bigint[] := whole_messages(ids);
  put_off bigint[];
  held bigint[];
BEGIN
  PERFORM enter(token, 'send');
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM FROM notification n
    WHERE n.notification_id = ANY (wanted || ARRAY(
            SELECT o.notification_id FROM notification w JOIN notification o USING (appointment_id) WHERE w.notification_id = ANY (wanted)))
    ORDER BY n.notification_id FOR NO KEY UPDATE;
  -- Nobody is told that it is cancelled, moved or booked again before that arrives which was on its way then.
  wanted := ARRAY(SELECT n.notification_id FROM notification n
                   WHERE n.notification_id = ANY (wanted) AND message_state(n) = 'waiting'
                     AND (n.kind = 'reminder' OR NOT EXISTS (
                          SELECT FROM notification o WHERE o.appointment_id = n.appointment_id AND o.recipient = n.recipient
                                                       AND o.notification_id < n.notification_id AND message_state(o) = 'sending')));
  PERFORM drop_unsendable(wanted, ways);
  put_off := CASE WHEN EXISTS (SELECT FROM site WHERE quiet_from IS NOT NULL) THEN put_off_quiet(wanted, ways) ELSE '{}' END;
  WITH taken AS (
    UPDATE notification n SET perhaps_at = greatest(n.perhaps_at, n.leased_until), leased_until = now() + make_interval(secs => seconds),
           attempts = n.attempts + 1,
           channel = CASE n.recipient WHEN 'webhook' THEN 'webhook' ELSE channel_of(p, array_remove(ways, n.bounced)) END
      FROM message_about b JOIN patient p USING (patient_id)
     WHERE n.notification_id = ANY (wanted) AND n.notification_id <> ALL (put_off) AND is_waiting(n) AND b.notification_id = n.notification_id
    RETURNING n.notification_id
  )
  SELECT array_agg(notification_id) INTO held FROM taken;
  IF 'webhook' = ANY (ways) THEN
    PERFORM tell_webhook(wanted);
  END IF;
  PERFORM note_look('look-send', ARRAY(SELECT b.patient_id FROM message_about b WHERE b.notification_id = ANY (held)));
  RETURN QUERY SELECT * FROM outgoing_of(held);
END $$;
COMMENT ON FUNCTION lease_notifications IS
  'Takes messages for so many seconds and returns what must be written, each with its way among `ways`, those that the caller has. '
  'Left out: what another holds or has sent, what must not overtake an earlier message about its appointment, what is dropped '
  'here, and what waits for the end of quiet hours.';

CREATE FUNCTION mark_sent(ids bigint[], token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  done integer;
BEGIN
  PERFORM enter(token, 'send');
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM FROM notification n WHERE n.notification_id = ANY (ids) ORDER BY n.notification_id FOR NO KEY UPDATE;
  WITH marked AS (
    UPDATE notification n SET sent_at = now(), failed_at = NULL, cancelled_at = NULL, leased_until = NULL, reason = ''
     WHERE n.notification_id = ANY (ids) AND n.sent_at IS NULL AND n.attempts > 0
    RETURNING n.notification_id, n.appointment_id, n.request_key, n.kind
  ), noted AS (
    INSERT INTO audit (action, patient_id, appointment_id, after)
    SELECT 'send', coalesce(a.patient_id, r.patient_id), m.appointment_id, jsonb_build_object('message', m.notification_id, 'kind', m.kind)
      FROM marked m LEFT JOIN appointment a USING (appointment_id) LEFT JOIN refusal r USING (request_key)
  )
  SELECT count(*) INTO done FROM marked;
  RETURN done;
END $$;
COMMENT ON FUNCTION mark_sent IS 'The mail server has taken them, whatever else was thought of them meanwhile; how many had not been marked. Safe to repeat.';

CREATE FUNCTION mark_failed(ids bigint[], lease timestamptz, code text, permanent boolean, perhaps boolean, retry_after integer DEFAULT NULL,
                            ways text[] DEFAULT '{}', token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  done integer;
BEGIN
  PERFORM enter(token, 'send');
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM FROM notification n WHERE n.notification_id = ANY (ids) ORDER BY n.notification_id FOR NO KEY UPDATE;
  WITH marked AS (
    UPDATE notification n
       SET failed_at = CASE WHEN permanent AND NOT w.elsewhere THEN now() END, leased_until = NULL, reason = code,
           perhaps_at = CASE WHEN perhaps THEN now() ELSE n.perhaps_at END,
           bounced = CASE WHEN w.elsewhere THEN n.channel ELSE n.bounced END,
           attempts = n.attempts - (retry_after IS NOT NULL AND NOT permanent)::integer,
           most_attempts = CASE WHEN w.elsewhere THEN n.attempts + 10 ELSE n.most_attempts END,
           due_at = now() + CASE WHEN w.elsewhere THEN interval '0' ELSE coalesce(
             make_interval(secs => retry_after),
             least(interval '15 seconds' * 2 ^ least(tried(n), 20), interval '1 hour') * (0.75 + random() / 2)) END
      FROM (SELECT o.notification_id,
                   permanent AND o.recipient = 'patient' AND o.bounced IS NULL
                     AND channel_of(p, array_remove(ways, o.channel)) IS NOT NULL AS elsewhere
              FROM notification o JOIN message_about b USING (notification_id) JOIN patient p USING (patient_id)
             WHERE o.notification_id = ANY (ids)) w
     WHERE n.notification_id = w.notification_id AND is_waiting(n) AND n.attempts > 0 AND n.leased_until = lease
    RETURNING n.notification_id, n.appointment_id, n.request_key
  ), noted AS (
    INSERT INTO audit (action, patient_id, appointment_id, after)
    SELECT 'send-failed', coalesce(a.patient_id, r.patient_id), m.appointment_id, jsonb_build_object('message', m.notification_id, 'why', code)
      FROM marked m LEFT JOIN appointment a USING (appointment_id) LEFT JOIN refusal r USING (request_key) WHERE permanent
  )
  SELECT count(*) INTO done FROM marked;
  RETURN done;
END $$;
COMMENT ON FUNCTION mark_failed IS
  'They could not be sent. Not for good: tried again after 30 s, doubled with every attempt up to an hour, give or take a '
  'quarter, so that what failed together does not come back together. With `retry_after` seconds it was no attempt: the mail '
  'server was away, or the process was told to stop. For good: failed; but a patient who can be reached by another of `ways` is '
  'told by that at once, with ten attempts anew, which is noted as `bounced`, and happens once. `perhaps`: it may have arrived all the same. It ends the lease that was to '
  'last until `lease`; whoever has another one since is not hindered: safe to repeat.';

CREATE FUNCTION remind(within interval DEFAULT NULL, only_site text DEFAULT NULL, dry boolean DEFAULT false, token text DEFAULT NULL)
RETURNS TABLE (appointments integer, made integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'remind');
  longest interval := coalesce(within, (SELECT max(x) FROM test t CROSS JOIN LATERAL unnest(t.remind_before) x));
BEGIN
  RETURN QUERY
  WITH coming AS MATERIALIZED (
    SELECT DISTINCT a.appointment_id, a.visit_id, lower(a.during) AS starts_at, b.ahead
      FROM site p
      JOIN resource r USING (site_id)
      JOIN slot s ON s.resource_id = r.resource_id AND s.starts_at > now() AND s.starts_at <= now() + longest
      JOIN occupancy o USING (slot_id)
      JOIN appointment a ON a.appointment_id = o.appointment_id AND a.slot_id = s.slot_id AND a.status = 'booked'
      JOIN test t USING (test_id)
     -- Of several times that have come, after a pause of the reminders or a late booking, only the last counts.
     CROSS JOIN LATERAL (SELECT coalesce(within, (SELECT min(x) FROM unnest(t.remind_before) x WHERE s.starts_at <= now() + x)) AS ahead) b
     WHERE b.ahead IS NOT NULL
       AND (only_site IS NULL OR p.code = only_site) AND (acting.sites IS NULL OR p.site_id = ANY (acting.sites))
  ), whole AS MATERIALIZED (
    SELECT c.appointment_id, c.visit_id, c.ahead, c.starts_at - c.ahead AS moment FROM coming c
    UNION
    SELECT a.appointment_id, a.visit_id, c.ahead, lower(a.during) - c.ahead
      FROM coming c
      JOIN appointment a ON a.visit_id = c.visit_id AND a.status = 'booked' AND lower(a.during) BETWEEN c.starts_at AND c.starts_at + interval '12 hours'
      JOIN test t USING (test_id)
     WHERE within IS NOT NULL OR c.ahead = ANY (t.remind_before)
  ), missing AS MATERIALIZED (
    SELECT w.* FROM whole w WHERE NOT EXISTS (
      SELECT FROM notification n WHERE n.appointment_id = w.appointment_id AND n.kind = 'reminder' AND n.moment = w.moment)
  ), visited AS MATERIALIZED (
    SELECT visit_id, ahead, gen_random_uuid() AS message_id FROM missing WHERE visit_id IS NOT NULL GROUP BY visit_id, ahead
  ), written AS (
    INSERT INTO notification (appointment_id, kind, moment, message_id)
    SELECT m.appointment_id, 'reminder', m.moment, coalesce(v.message_id, gen_random_uuid())
      FROM missing m LEFT JOIN visited v USING (visit_id, ahead) WHERE NOT dry
     ORDER BY m.appointment_id
        ON CONFLICT DO NOTHING RETURNING 1
  )
  SELECT (SELECT count(DISTINCT appointment_id) FROM coming)::integer,
         (SELECT CASE WHEN dry THEN (SELECT count(*) FROM missing) ELSE (SELECT count(*) FROM written) END)::integer;
  IF NOT dry THEN
    INSERT INTO audit (action, after) VALUES ('remind', jsonb_build_object('within', within::text, 'site', (SELECT p.code FROM site p WHERE p.code = only_site)));
  END IF;
END $$;
COMMENT ON FUNCTION remind IS
  'Makes a reminder for every appointment that is booked and begins within that time, or within one of the times of its test, '
  'unless it has one for that time: run as often as you like, and by as many as you like. One that is moved gets a new one. '
  'What of a visit follows within 12 hours is in the same message. How many begin, and how many were made.';

CREATE FUNCTION look_at_messages(wanted jsonb DEFAULT '{}', most integer DEFAULT 100, token text DEFAULT NULL)
RETURNS TABLE (id bigint, reference text, site text, kind text, state text, channel text, made_for timestamptz, due_at timestamptz,
               attempts integer, sent_at timestamptz, failed_at timestamptz, cancelled_at timestamptz, reason text, bounced text, zone text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'see-patients');
  found bigint[];
BEGIN
  found := ARRAY(
    SELECT n.notification_id FROM notification n JOIN message_about b USING (notification_id) JOIN slot s USING (slot_id) JOIN site p USING (site_id)
     WHERE (NOT wanted ? 'id' OR n.notification_id = (wanted ->> 'id')::bigint)
       AND (NOT wanted ? 'reference' OR n.appointment_id = appointment_id_of(wanted ->> 'reference'))
       AND (NOT wanted ? 'state' OR wanted ->> 'state'
            = CASE WHEN message_state(n) = 'waiting' AND overtaken(n.kind, b) IS NOT NULL THEN 'cancelled' ELSE message_state(n) END)
       -- Said once more so that the index of those that failed, or that wait, is found.
       AND (wanted ->> 'state' IS DISTINCT FROM 'failed' OR n.failed_at IS NOT NULL)
       AND ((wanted ->> 'state' IN ('waiting', 'sending')) IS NOT TRUE OR num_nonnulls(n.sent_at, n.failed_at, n.cancelled_at) = 0)
       AND (NOT wanted ? 'site' OR p.code = wanted ->> 'site')
       AND (acting.sites IS NULL OR p.site_id = ANY (acting.sites))
     ORDER BY n.notification_id DESC LIMIT most);
  PERFORM note_look('look-messages', ARRAY(SELECT b.patient_id FROM message_about b WHERE b.notification_id = ANY (found)));
  RETURN QUERY
    SELECT n.notification_id, coalesce(reference_of(n.appointment_id), ''), p.code::text, n.kind,
           CASE WHEN o.why IS NOT NULL THEN 'cancelled' ELSE message_state(n) END, n.channel, n.moment, n.due_at,
           n.attempts, n.sent_at, n.failed_at, n.cancelled_at, coalesce(o.why, n.reason), n.bounced, p.zone::text
      FROM notification n JOIN message_about b USING (notification_id) JOIN slot s USING (slot_id) JOIN site p USING (site_id)
     CROSS JOIN LATERAL (SELECT CASE WHEN message_state(n) = 'waiting' THEN overtaken(n.kind, b) END) o (why)
     WHERE n.notification_id = ANY (found) ORDER BY n.notification_id DESC;
END $$;
COMMENT ON FUNCTION look_at_messages IS
  'The newest messages that fit {id, reference, state, site}: what became of them, nothing of what they say. One that waits and that '
  'no worker would send any more counts as cancelled already.';

CREATE FUNCTION retry_message(id bigint, token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
  wanted bigint[] := whole_messages(ARRAY[id]);
  another uuid := gen_random_uuid();
  old notification;
BEGIN
  PERFORM FROM notification n WHERE n.notification_id = ANY (wanted) ORDER BY n.notification_id FOR NO KEY UPDATE;
  SELECT * INTO old FROM notification n WHERE n.notification_id = id;
  PERFORM stay_within(acting, ARRAY(SELECT s.site_id FROM message_about b JOIN slot s USING (slot_id) WHERE b.notification_id = ANY (wanted)));
  IF old.notification_id IS NULL THEN
    RETURN 'message-unknown';
  ELSIF message_state(old) = 'sending' THEN
    RETURN 'sending';
  END IF;
  UPDATE notification n
     SET perhaps_at = greatest(n.perhaps_at, n.sent_at, n.leased_until),
         sent_at = NULL, failed_at = NULL, cancelled_at = NULL, leased_until = NULL, bounced = NULL, reason = '', due_at = now(),
         -- Somebody has decided to send another one.
         message_id = CASE WHEN n.sent_at IS NULL THEN n.message_id ELSE another END,
         most_attempts = n.attempts + 10
   WHERE n.notification_id = ANY (wanted);
  INSERT INTO audit (action, patient_id, appointment_id, after)
  SELECT 'retry-message', b.patient_id, old.appointment_id, jsonb_build_object('message', id) FROM message_about b WHERE b.notification_id = id;
  RETURN 'waiting';
END $$;
COMMENT ON FUNCTION retry_message IS 'Has a message sent now, also one that failed, was stopped, or was sent before: waiting, sending or message-unknown.';

CREATE FUNCTION stop_message(id bigint, token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
  old notification;
BEGIN
  SELECT * INTO old FROM notification n WHERE n.notification_id = id FOR NO KEY UPDATE;
  PERFORM stay_within(acting, ARRAY(SELECT s.site_id FROM message_about b JOIN slot s USING (slot_id) WHERE b.notification_id = id));
  IF old.notification_id IS NULL THEN
    RETURN 'message-unknown';
  ELSIF message_state(old) NOT IN ('waiting', 'failed') THEN
    RETURN message_state(old);
  END IF;
  UPDATE notification n SET cancelled_at = now(), failed_at = NULL, reason = 'stopped' WHERE n.notification_id = id;
  INSERT INTO audit (action, patient_id, appointment_id, after)
  SELECT 'stop-message', b.patient_id, old.appointment_id, jsonb_build_object('message', id) FROM message_about b WHERE b.notification_id = id;
  RETURN 'cancelled';
END $$;
COMMENT ON FUNCTION stop_message IS 'Has a message not sent: cancelled, or the state that it has instead.';

CREATE FUNCTION message_facts_of(reference text, kind text, token text DEFAULT NULL) RETURNS SETOF outgoing
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'see-patients');
  which bigint := appointment_id_of(reference);
BEGIN
  PERFORM stay_within(acting, site_of(which));
  RETURN QUERY
    SELECT 0::bigint, '00000000-0000-0000-0000-000000000000'::uuid, kind, 1, f.reference, f.appointment_version, f.starts_at, f.ends_at,
           f.zone, f.site_name, f.site_phone, f.test_name, f.preparation, f.patient_name, p.email, p.phone, p.language,
           coalesce(channel_of(p, '{email,sms}'), 'email'), f.site, f.test, c.names_test, CASE WHEN f.status = 'pending' THEN f.held_until END,
           NULL::timestamptz
      FROM appointment_facts f JOIN patient p USING (patient_id) JOIN site c ON c.site_id = f.site_id
     WHERE f.appointment_id = which
        OR (kind IN ('confirmation', 'reminder') AND f.visit_id = (SELECT a.visit_id FROM appointment a WHERE a.appointment_id = which) AND f.active)
     ORDER BY f.starts_at;
  PERFORM note_look('look-message', ARRAY(
    SELECT b.patient_id FROM appointment a JOIN appointment b ON b.appointment_id = which OR b.visit_id = a.visit_id WHERE a.appointment_id = which), which);
END $$;
COMMENT ON FUNCTION message_facts_of IS 'What a message about an appointment would be written from; nothing is sent.';

CREATE FUNCTION measures(token text DEFAULT NULL) RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'verify');
  -- Asked every few seconds: nothing here reads what is long over.
  RETURN QUERY
    WITH waiting AS MATERIALIZED (
      SELECT n.kind, n.due_at, n.reason, message_state(n) AS state FROM notification n
       WHERE num_nonnulls(n.sent_at, n.failed_at, n.cancelled_at) = 0
    ), locks AS MATERIALIZED (
      SELECT CASE l.locktype WHEN 'advisory' THEN 'advisory' ELSE 'other' END AS kind, clock_timestamp() - l.waitstart AS waited
        FROM pg_locks l
       WHERE NOT l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    ), kinds (kind) AS (VALUES ('advisory'), ('other'))
    SELECT 'messages', jsonb_build_object('kind', w.kind, 'state', w.state), count(*)::float8 FROM waiting w GROUP BY w.kind, w.state
    UNION ALL
    SELECT 'messages_due', '{}', count(*) FROM waiting w WHERE w.due_at <= now()
    UNION ALL
    SELECT 'message_oldest_seconds', '{}', coalesce(extract(epoch FROM now() - min(w.due_at)), 0) FROM waiting w WHERE w.due_at <= now()
    UNION ALL
    SELECT 'messages_put_off', jsonb_build_object('reason', w.reason), count(*) FROM waiting w WHERE w.reason <> '' GROUP BY w.reason
    UNION ALL
    SELECT 'messages_sent_last_hour', jsonb_build_object('channel', coalesce(n.channel, 'none'), 'kind', n.kind), count(*)
      FROM notification n WHERE n.sent_at > now() - interval '1 hour' GROUP BY n.channel, n.kind
    UNION ALL
    SELECT 'messages_failed', jsonb_build_object('channel', coalesce(n.channel, 'none'), 'reason', n.reason), count(*)
      FROM notification n WHERE n.failed_at > now() - interval '7 days' GROUP BY n.channel, n.reason
    UNION ALL
    SELECT 'requests_last_hour', jsonb_build_object('verdict', r.verdict), count(*)
      FROM request r WHERE r.created_at > now() - interval '1 hour' GROUP BY r.verdict
    UNION ALL
    SELECT 'holds', jsonb_build_object('state', h.state), count(a.held_until)
      FROM (VALUES ('open', true), ('expired', false)) AS h (state, still)
      LEFT JOIN appointment a ON a.status = 'pending' AND (a.held_until > now()) = h.still GROUP BY h.state
    UNION ALL
    SELECT 'oversold_slots', '{}', count(*)
      FROM resource r JOIN slot s USING (resource_id)
     WHERE s.local_start BETWEEN now()::timestamp - interval '2 days' AND now()::timestamp + interval '14 days'
       AND (s.booked NOT BETWEEN 0 AND s.capacity
            OR s.booked > 0 AND (SELECT count(*) FROM occupancy o WHERE o.slot_id = s.slot_id) NOT BETWEEN 0 AND s.capacity)
    UNION ALL
    SELECT 'lock_waits', jsonb_build_object('kind', k.kind), count(l.kind) FROM kinds k LEFT JOIN locks l USING (kind) GROUP BY k.kind
    UNION ALL
    SELECT 'lock_wait_seconds', jsonb_build_object('kind', k.kind), coalesce(extract(epoch FROM max(l.waited)), 0)
      FROM kinds k LEFT JOIN locks l USING (kind) GROUP BY k.kind;
END $$;
COMMENT ON FUNCTION measures IS 'Numbers to watch, without a patient in them.';



-- The waiting list ------------------------------------------------------------------------------------------------
-- A worker looks for places again and again, so that whatever freed one, nobody has to remember it.

CREATE FUNCTION add_to_waitlist(mrn text, wanted_test text, wanted_site text, first_day date, last_day date, token text DEFAULT NULL)
RETURNS TABLE (verdict text, id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
  who integer := (SELECT coalesce(p.merged_into, p.patient_id) FROM patient p WHERE p.mrn = $1);
  which integer := (SELECT t.test_id FROM test t WHERE t.code = wanted_test AND t.active);
  place integer := (SELECT s.site_id FROM site s WHERE s.code = wanted_site AND s.active);
BEGIN
  verdict := CASE WHEN who IS NULL THEN 'patient-unknown' WHEN which IS NULL THEN 'test-unknown' WHEN place IS NULL THEN 'site-unknown' END;
  IF verdict IS NULL THEN
    PERFORM stay_within(acting, ARRAY[place]);
    INSERT INTO waiting AS w (patient_id, test_id, site_id, days) VALUES (who, which, place, daterange(first_day, last_day, '[]'))
        ON CONFLICT (patient_id, test_id, site_id) WHERE ended_at IS NULL DO UPDATE SET days = excluded.days
    RETURNING w.waiting_id, CASE WHEN w.xmax = 0 THEN 'added' ELSE 'changed' END INTO id, verdict;
    INSERT INTO audit (action, patient_id, after) VALUES ('wait', who, jsonb_build_object('waiting', id, 'test', which, 'site', place));
  END IF;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION add_to_waitlist IS
  'Puts a patient on the waiting list for a test at a site, for local days from first to last; who waits for that already keeps '
  'their turn, with the new days: added, changed, or what is unknown.';

CREATE FUNCTION waitlist(only_site text DEFAULT NULL, only_test text DEFAULT NULL, token text DEFAULT NULL)
RETURNS TABLE (id bigint, patient text, patient_name text, test text, site text, zone text, first_day date, last_day date,
               since timestamptz, offered text, held_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'see-patients');
  found bigint[];
BEGIN
  found := ARRAY(SELECT w.waiting_id FROM waiting w JOIN site s USING (site_id) JOIN test t USING (test_id)
                  WHERE w.ended_at IS NULL AND (only_site IS NULL OR s.code = only_site) AND (only_test IS NULL OR t.code = only_test)
                    AND (acting.sites IS NULL OR s.site_id = ANY (acting.sites)));
  PERFORM note_look('look-waitlist', ARRAY(SELECT w.patient_id FROM waiting w WHERE w.waiting_id = ANY (found)));
  RETURN QUERY
    SELECT w.waiting_id, p.mrn, p.name::text, t.code::text, s.code::text, s.zone::text, lower(w.days), upper(w.days) - 1, w.created_at,
           reference_of(a.appointment_id), a.held_until
      FROM waiting w JOIN patient p USING (patient_id) JOIN site s USING (site_id) JOIN test t USING (test_id)
      LEFT JOIN LATERAL (
        SELECT h.appointment_id, h.held_until FROM offer o JOIN appointment h USING (appointment_id)
         WHERE o.waiting_id = w.waiting_id AND h.status = 'pending' AND h.held_until > now() LIMIT 1) a ON true
     WHERE w.waiting_id = ANY (found) ORDER BY w.waiting_id;
END $$;
COMMENT ON FUNCTION waitlist IS 'Who waits, in the order in which they are offered places, and what is held for them now. The look is written down.';

CREATE FUNCTION remove_from_waitlist(id bigint, token text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'book');
  old waiting;
BEGIN
  SELECT * INTO old FROM waiting w WHERE w.waiting_id = id FOR NO KEY UPDATE;
  PERFORM stay_within(acting, ARRAY_REMOVE(ARRAY[old.site_id], NULL));
  IF old.waiting_id IS NULL THEN
    RETURN 'waiting-unknown';
  ELSIF old.ended_at IS NULL THEN
    UPDATE waiting w SET ended_at = now(), reason = 'removed' WHERE w.waiting_id = id;
    INSERT INTO audit (action, patient_id, after) VALUES ('stop-waiting', old.patient_id, jsonb_build_object('waiting', id));
  END IF;
  RETURN 'removed';
END $$;
COMMENT ON FUNCTION remove_from_waitlist IS 'Takes somebody off the waiting list; what is held for them stays held until its time is over. Safe to repeat.';

CREATE FUNCTION end_waiting(token text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  ended integer;
BEGIN
  PERFORM enter(token, 'send');
  WITH over AS MATERIALIZED (
    SELECT o.waiting_id, b.booked
      FROM waiting o JOIN patient p USING (patient_id) JOIN site s USING (site_id)
     CROSS JOIN LATERAL (SELECT EXISTS (
       SELECT FROM appointment a WHERE a.patient_id = coalesce(p.merged_into, p.patient_id) AND a.test_id = o.test_id
                                   AND a.created_at > o.created_at AND a.active AND a.status <> 'pending') AS booked) b
     WHERE o.ended_at IS NULL AND (b.booked OR upper(o.days) <= (now() AT TIME ZONE s.zone)::date)
     ORDER BY o.waiting_id FOR NO KEY UPDATE OF o SKIP LOCKED
  ), done AS (
    UPDATE waiting w SET ended_at = now(), reason = CASE WHEN e.booked THEN 'booked' ELSE 'over' END
      FROM over e WHERE w.waiting_id = e.waiting_id RETURNING w.waiting_id, w.patient_id, w.reason
  ), noted AS (
    INSERT INTO audit (action, patient_id, after)
    SELECT 'stop-waiting', d.patient_id, jsonb_build_object('waiting', d.waiting_id, 'why', d.reason) FROM done d
  )
  SELECT count(*) INTO ended FROM done;
  RETURN ended;
END $$;
COMMENT ON FUNCTION end_waiting IS
  'Ends the waiting of whoever was booked for the test since, and of whom every day has passed; how many. Only their rows are locked.';

CREATE FUNCTION offer_key(waiting bigint, slot integer, version integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT md5(concat_ws(' ', 'offer', waiting, slot, version))::uuid $$;
COMMENT ON FUNCTION offer_key IS 'The request key of an offer: what was refused is not asked again until the slot has changed.';

CREATE FUNCTION next_offer(w waiting) RETURNS TABLE (slot_id integer, version integer)
LANGUAGE sql STABLE AS $$
  SELECT f.slot_id, f.version
    FROM site s JOIN test t ON t.test_id = w.test_id
   CROSS JOIN LATERAL find_slots(ARRAY[s.code::text], t.code, greatest(lower(w.days), (now() AT TIME ZONE s.zone)::date), upper(w.days) - 1, most => 100) f
   WHERE s.site_id = w.site_id AND f.starts_at > now() + make_interval(mins => s.offer_minutes)
     AND NOT EXISTS (SELECT FROM offer o WHERE o.waiting_id = w.waiting_id AND o.slot_id = f.slot_id)
     AND NOT EXISTS (SELECT FROM request r WHERE r.request_key = offer_key(w.waiting_id, f.slot_id, f.version))
   ORDER BY f.starts_at, f.slot_id LIMIT 1
$$;
COMMENT ON FUNCTION next_offer IS 'The first free place that somebody who waits was not offered yet.';

CREATE FUNCTION can_be_told(p patient, ways text[]) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT channel_of(p, ways) IS NOT NULL
      OR ('webhook' = ANY (ways) AND NOT ways && '{email,sms}' AND p.channel <> 'none' AND p.consent <> 'declined')
$$;
COMMENT ON FUNCTION can_be_told IS
  'Whether somebody who wants to be told hears of a message: by one of the ways, or, where there is none to patients, from the other '
  'system that is told by webhook.';

CREATE FUNCTION offer_place(ways text[] DEFAULT '{email}', after bigint DEFAULT 0, token text DEFAULT NULL)
RETURNS TABLE (verdict text, reached bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'send');
  who waiting; free record; answer verdict;
BEGIN
  FOR who IN
    SELECT w.* FROM waiting w JOIN site s USING (site_id) JOIN patient q USING (patient_id)
      JOIN patient p ON p.patient_id = coalesce(q.merged_into, q.patient_id)
     WHERE w.waiting_id > after AND w.ended_at IS NULL AND s.active AND quiet_end(s, now()) IS NULL AND can_be_told(p, ways)
       AND EXISTS (SELECT FROM resource_test m JOIN resource r USING (resource_id)
                     JOIN slot o ON o.resource_id = r.resource_id AND o.local_start >= lower(w.days) AND o.local_start < upper(w.days)
                    WHERE m.test_id = w.test_id AND r.site_id = w.site_id AND o.status = 'free' AND o.booked < o.capacity)
     ORDER BY w.waiting_id
  LOOP
    SELECT * INTO free FROM next_offer(who);
    IF free.slot_id IS NOT NULL THEN
      -- Another worker is making them an offer: theirs is the turn all the same.
      PERFORM FROM waiting w WHERE w.waiting_id = who.waiting_id AND w.ended_at IS NULL FOR NO KEY UPDATE SKIP LOCKED;
      IF FOUND AND NOT EXISTS (SELECT FROM offer o JOIN appointment a USING (appointment_id)
                                WHERE o.waiting_id = who.waiting_id AND a.status = 'pending' AND a.held_until > now()) THEN
        SELECT * INTO answer FROM book_as(acting, (
          SELECT jsonb_build_array(jsonb_build_object('key', offer_key(who.waiting_id, free.slot_id, free.version), 'patient', p.mrn, 'test', t.code,
                                                      'slot', free.slot_id, 'hold_seconds', 60 * s.offer_minutes))
            FROM patient p, test t, site s WHERE p.patient_id = who.patient_id AND t.test_id = who.test_id AND s.site_id = who.site_id), false, false);
        IF answer.verdict = 'held' THEN
          INSERT INTO offer VALUES (who.waiting_id, free.slot_id, answer.appointment_id);
          INSERT INTO notification (appointment_id, kind) VALUES (answer.appointment_id, 'offer');
        END IF;
        -- Whom this place does not fit is asked about the next one first: it is their turn still.
        RETURN QUERY SELECT answer.verdict, CASE answer.verdict WHEN 'held' THEN who.waiting_id ELSE after END;
        RETURN;
      END IF;
    END IF;
    IF clock_timestamp() > now() + interval '2 seconds' THEN
      RETURN QUERY SELECT 'later'::text, who.waiting_id;
      RETURN;
    END IF;
    after := who.waiting_id;
  END LOOP;
  RETURN QUERY SELECT 'nobody'::text, after;
END $$;
COMMENT ON FUNCTION offer_place IS
  'Holds a free place for the first who waits for it, has a turn behind `after` and can be told in one of `ways`, and tells them: held, '
  'why it was not, nobody when there is none for anybody, or later when there was no time to look at all; then, and after held, '
  '`reached` is where the next call begins. Nobody has two offers at a time, or the same place twice, or is called in quiet hours. '
  'One at a time, because each takes locks.';


-- The reports -------------------------------------------------------------------------------------------------------
-- Sums over a period of local days at the sites of whoever asks. There is no patient in them, so no look is written down.

CREATE FUNCTION report_utilisation(first_day date, last_day date, only_site text DEFAULT NULL, token text DEFAULT NULL)
RETURNS TABLE (site text, resource text, hour integer, slots bigint, booked bigint, capacity bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-schedules');
BEGIN
  RETURN QUERY
    SELECT p.code::text, r.code::text, extract(hour FROM s.local_start)::integer, count(*), sum(s.booked)::bigint, sum(s.capacity)::bigint
      FROM site p JOIN resource r USING (site_id)
      JOIN slot s ON s.resource_id = r.resource_id AND s.local_start >= first_day AND s.local_start < last_day + 1
     WHERE (only_site IS NULL OR p.code = only_site) AND (acting.sites IS NULL OR p.site_id = ANY (acting.sites))
       AND (s.status = 'free' OR s.booked > 0)
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
END $$;
COMMENT ON FUNCTION report_utilisation IS 'Of each resource and hour of the day how many places there were and how many were taken; closed slots do not count.';

CREATE FUNCTION report_noshow(first_day date, last_day date, only_site text DEFAULT NULL, token text DEFAULT NULL)
RETURNS TABLE (site text, test text, weekday integer, appointments bigint, missed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-schedules');
BEGIN
  RETURN QUERY
    SELECT p.code::text, t.code::text, extract(isodow FROM s.local_start)::integer, count(*), count(*) FILTER (WHERE a.status = 'noshow')
      FROM site p JOIN resource r USING (site_id)
      JOIN slot s ON s.resource_id = r.resource_id AND s.local_start >= first_day AND s.local_start < last_day + 1
     CROSS JOIN LATERAL (SELECT o.appointment_id FROM occupancy o WHERE o.slot_id = s.slot_id
                          UNION ALL
                         SELECT e.appointment_id FROM appointment e WHERE e.slot_id = s.slot_id AND NOT e.active) k
      JOIN appointment a ON a.appointment_id = k.appointment_id AND a.slot_id = s.slot_id
      JOIN test t USING (test_id)
     WHERE (only_site IS NULL OR p.code = only_site) AND (acting.sites IS NULL OR p.site_id = ANY (acting.sites))
       AND a.status IN ('arrived', 'checked-in', 'fulfilled', 'noshow')
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
END $$;
COMMENT ON FUNCTION report_noshow IS 'Of each test and weekday (1 is Monday) how many came or should have, and how many did not.';

CREATE FUNCTION report_lead_time(first_day date, last_day date, only_site text DEFAULT NULL, token text DEFAULT NULL)
RETURNS TABLE (site text, test text, appointments bigint, days_median double precision, days_ninetieth double precision,
               same_day bigint, within_week bigint, within_month bigint, later bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acting acting := enter(token, 'manage-schedules');
BEGIN
  RETURN QUERY
    SELECT l.site, l.test, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY l.days), percentile_cont(0.9) WITHIN GROUP (ORDER BY l.days),
           count(*) FILTER (WHERE l.days < 1), count(*) FILTER (WHERE l.days >= 1 AND l.days < 7),
           count(*) FILTER (WHERE l.days >= 7 AND l.days < 30), count(*) FILTER (WHERE l.days >= 30)
      FROM (SELECT p.code::text AS site, t.code::text AS test, extract(epoch FROM lower(a.during) - a.created_at)::float8 / 86400 AS days
              FROM site p JOIN resource r USING (site_id)
              JOIN slot s ON s.resource_id = r.resource_id AND s.local_start >= first_day AND s.local_start < last_day + 1
              JOIN occupancy o USING (slot_id)
              JOIN appointment a ON a.appointment_id = o.appointment_id AND a.slot_id = s.slot_id
              JOIN test t USING (test_id)
             WHERE (only_site IS NULL OR p.code = only_site) AND (acting.sites IS NULL OR p.site_id = ANY (acting.sites))
               AND a.status <> 'pending' AND a.created_at < lower(a.during)) l
     GROUP BY 1, 2 ORDER BY 1, 2;
END $$;
COMMENT ON FUNCTION report_lead_time IS
  'Of each test how many days passed from booking to the appointment, for those that stand; the last place counts, and what was recorded afterwards does not.';


-- The invariants --------------------------------------------------------------------------------------------------

CREATE FUNCTION violations() RETURNS TABLE (rule text, violations bigint)
LANGUAGE sql STABLE SET search_path = app, ext, pg_temp AS $$
  SELECT 'no slot holds more than its capacity',
         (SELECT count(*) FROM slot s LEFT JOIN (
            SELECT u.slot_id, count(*) AS n FROM appointment a CROSS JOIN LATERAL unnest(a.slots) u (slot_id) WHERE a.active GROUP BY 1) x
            USING (slot_id) WHERE coalesce(x.n, 0) > s.capacity)
  UNION ALL
  SELECT 'the counter equals the places and the active appointments',
         (SELECT count(*) FROM slot s
            LEFT JOIN (SELECT slot_id, count(*) AS n, max(place) AS top FROM occupancy GROUP BY 1) o USING (slot_id)
            LEFT JOIN (SELECT u.slot_id, count(*) AS n FROM appointment a CROSS JOIN LATERAL unnest(a.slots) u (slot_id)
                        WHERE a.active GROUP BY 1) x USING (slot_id)
           WHERE s.booked <> coalesce(o.n, 0) OR s.booked <> coalesce(x.n, 0) OR s.booked <> coalesce(o.top, 0))
  UNION ALL
  SELECT 'a place belongs to an active appointment of that slot',
         (SELECT count(*) FROM occupancy o JOIN appointment a USING (appointment_id) WHERE NOT a.active OR o.slot_id <> ALL (a.slots))
  UNION ALL
  SELECT 'no patient is in two places',
         (SELECT count(*) FROM appointment a JOIN appointment b
             ON b.patient_id = a.patient_id AND b.appointment_id > a.appointment_id AND b.active AND b.during && a.during WHERE a.active)
  UNION ALL
  SELECT 'one booking per request key',
         (SELECT count(*) FROM (SELECT appointment_id FROM request WHERE verdict IN ('booked', 'held') GROUP BY 1 HAVING count(*) > 1) x)
  UNION ALL
  SELECT 'every appointment has a request key',
         (SELECT count(*) FROM appointment a
            LEFT JOIN (SELECT DISTINCT appointment_id FROM request WHERE verdict IN ('booked', 'held')) r USING (appointment_id)
           WHERE r.appointment_id IS NULL)
  UNION ALL
  SELECT 'every appointment was audited once when it was made',
         (SELECT count(*) FROM appointment a
            LEFT JOIN (SELECT appointment_id, count(*) AS n FROM audit WHERE action IN ('book', 'hold') GROUP BY 1) u
            USING (appointment_id)
           WHERE u.n IS DISTINCT FROM 1)
  UNION ALL
  SELECT 'a message is about an appointment that was booked',
         (SELECT count(*) FROM notification n LEFT JOIN appointment a USING (appointment_id)
           WHERE (a.appointment_id IS NULL AND n.request_key IS NULL) OR (a.status = 'pending' AND n.sent_at IS NOT NULL AND n.kind <> 'offer'))
  UNION ALL
  SELECT 'no message was sent more often than it was tried',
         (SELECT count(*) FROM notification n
            LEFT JOIN (SELECT (after ->> 'message')::bigint AS notification_id, count(*) AS n FROM audit WHERE action = 'send' GROUP BY 1) u
            USING (notification_id)
           WHERE (n.sent_at IS NOT NULL AND coalesce(u.n, 0) = 0) OR coalesce(u.n, 0) > n.attempts)
$$;
COMMENT ON FUNCTION violations IS 'The invariants of this file, counted: every number must be 0.';

CREATE FUNCTION verify(token text DEFAULT NULL) RETURNS TABLE (rule text, violations bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, ext, pg_temp AS $$
BEGIN
  PERFORM enter(token, 'verify');
  RETURN QUERY SELECT * FROM violations();
END $$;
COMMENT ON FUNCTION verify IS 'Counts the invariants of this file: every number must be 0.';

CREATE TABLE schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE schema_version IS 'Which numbered migrations this database has: schema.sql is all of them.';
INSERT INTO schema_version (version) VALUES (1);


-- The grants --------------------------------------------------------------------------------------------------------
-- Functions are granted one by one (nobody may execute one otherwise: see the default privileges at the top), tables only
-- where no patient is in them. Patients are read through functions alone, because a SELECT leaves no trace in the audit.
-- Row-level security without any policy is the second guard: with a grant made by mistake there is still no row to see.

DO $$
DECLARE guarded regclass;
BEGIN
  FOREACH guarded IN ARRAY ARRAY['patient', 'visit', 'appointment', 'occupancy', 'request', 'waiting', 'offer', 'refusal', 'notification', 'audit', 'seal', 'sealing',
                                 'staff', 'session', 'sign_in_attempt', 'gateway']::regclass[] LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA app TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin;
GRANT SELECT ON schema_version, permission, role_permission, site
   TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin;
GRANT SELECT ON test, resource, resource_test, schedule, closure, slot, status_change
   TO bookcli_desk, bookcli_worker, bookcli_admin;

GRANT EXECUTE ON FUNCTION sign_in_parameters, sign_in, sign_out, lock_session, whoami, change_password, counters, oldest_unsent
   TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin;
GRANT EXECUTE ON FUNCTION
  find_slots, book, confirm, confirm_visit, release, renew, cancel, set_status, undo, list_undoable, place_of, steps_of, look_at, references_from, agenda, history_of, affected,
  look_at_patient, survivor_of, find_patients, known_numbers, refused_keys, save_patients, merge_patients,
  publish, set_capacity, close_period, find_closure, close_and_move, reopen, undo_closing, save_sites, save_tests, save_resources, save_schedules,
  replace_schedules,
  export_highest, export_patients, export_appointments, report_utilisation, report_noshow, report_lead_time
   TO bookcli_desk;
GRANT EXECUTE ON FUNCTION audit_entries, audit_highest, ask_audit, numbers_of TO bookcli_desk, bookcli_auditor;
GRANT EXECUTE ON FUNCTION seal_audit, verify_audit, verify TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin;
GRANT EXECUTE ON FUNCTION add_staff, change_staff, reset_password, list_staff, list_sessions, revoke_sessions
   TO bookcli_desk, bookcli_admin;
GRANT EXECUTE ON FUNCTION add_to_waitlist, waitlist, remove_from_waitlist TO bookcli_desk;
GRANT EXECUTE ON FUNCTION end_waiting, offer_place TO bookcli_worker;
GRANT EXECUTE ON FUNCTION let_holds_expire TO bookcli_desk, bookcli_worker;
GRANT EXECUTE ON FUNCTION find_slots, publish_hours TO bookcli_worker;
GRANT EXECUTE ON FUNCTION day_board TO bookcli_desk;
GRANT EXECUTE ON FUNCTION claim_notifications, lease_notifications, mark_sent, mark_failed, book_for TO bookcli_worker;
GRANT EXECUTE ON FUNCTION remind TO bookcli_desk, bookcli_worker;
GRANT EXECUTE ON FUNCTION look_at_messages, retry_message, stop_message, message_facts_of TO bookcli_desk;
GRANT EXECUTE ON FUNCTION measures TO bookcli_desk, bookcli_worker, bookcli_auditor, bookcli_admin;
