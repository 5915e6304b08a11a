// Answers the rules and zones of stdin as ical.js and rrule.js do; `python -m tests.calendars` runs it.
import fs from "node:fs";
import vm from "node:vm";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const rrule = require("rrule");
const ICAL = (await import(require.resolve("ical.js"))).default;
const { rules, zones, size } = JSON.parse(fs.readFileSync(0, "utf8"));

// Some rules run for ever there.
function limited(compute) {
  globalThis.compute = compute;
  try {
    return new vm.Script("compute()").runInThisContext({ timeout: 3000 });
  } catch (error) {
    return [String(error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? "runs for ever" : error.message).slice(0, 80)];
  }
}

const packed = (text) => text.replace(/[-:]|\.000|Z/g, "").slice(0, 15);

function icalRule(start, rule) {
  const begin = ICAL.Time.fromString(start.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/, "$1-$2-$3T$4:$5:$6"));
  const times = ICAL.Recur.fromString(rule).iterator(begin);
  const found = [];
  for (let time = times.next(); time && found.length < size; time = times.next()) found.push(packed(time.toString()));
  return found;
}

function rruleRule(start, rule) {
  const found = rrule.rrulestr(`DTSTART:${start}Z\nRRULE:${rule}`).all((_, index) => index < size);
  return found.map((time) => packed(time.toISOString()));
}

function icalZone(text, walls) {
  const zone = new ICAL.Timezone(new ICAL.Component(ICAL.parse(text)));
  return walls.map((wall) => {
    const time = ICAL.Time.fromString(wall.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/, "$1-$2-$3T$4:$5:$6"));
    time.zone = zone;
    return packed(time.convertToZone(ICAL.Timezone.utcTimezone).toString());
  });
}

const answers = {
  rules: rules.map(({ start, rule }) => ({
    "ical.js": limited(() => icalRule(start, rule)),
    "rrule.js": limited(() => rruleRule(start, rule)),
  })),
  zones: zones.map(({ text, walls }) => limited(() => icalZone(text, walls))),
};
process.stdout.write(JSON.stringify(answers));
