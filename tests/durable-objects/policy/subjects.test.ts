import { assert, property, string } from "fast-check";
import { expect, test } from "vitest";
import { Subject, addressGroup, readSubject, subjectsOf } from "../../../durable-objects/policy/subjects.ts";

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["", null],
  ["nobody", null],
])("the address %s counts as %s", (address, group) => expect(addressGroup(address)).toBe(group));

test("a visitor has as many names as are known", () => {
  expect(subjectsOf({ sid: "s", address: "" })).toEqual(["all", "session:s"]);
  expect(subjectsOf({ sid: "s", account: "a", address: "2001:db8::1" })).toEqual([
    "all",
    "session:s",
    "account:a",
    "address:2001:db8::/64",
  ]);
});

test.each([
  ["all", "all"],
  ["session:abc", "session:abc"],
  ["address:2001:db8:1:2:ffff::9", "address:2001:db8:1:2::/64"],
  ["address:2001:db8:1:2::/64", "address:2001:db8:1:2::/64"],
  ["address:192.0.2.7", "address:192.0.2.7"],
  ["address:192.0.2", null],
  ["session:", null],
  ["everybody", null],
  ["account:a b", "account:a%20b"],
  ["account:a%20b", "account:a%20b"],
  ["account:ß/💾", "account:%C3%9F/%F0%9F%92%BE"],
])("an operator who writes %s means %s", (text, subject) => expect(readSubject(text)).toBe(subject));

test("whatever a visitor is called, the names are subjects that an operator can write", () => {
  assert(
    property(string({ minLength: 1, maxLength: 128, unit: "binary" }), (name) => {
      for (const subject of subjectsOf({ sid: name, account: name, address: "" })) {
        expect(Subject.safeParse(subject).success).toBe(true);
        expect(readSubject(subject)).toBe(subject);
      }
      expect(subjectsOf({ sid: name, address: "" })[1]).toBe(readSubject(`session:${name}`));
    }),
  );
});

test("whatever is written is a subject or none", () => {
  assert(
    property(string({ maxLength: 200 }), (text) => {
      const subject = readSubject(text);
      expect(subject === null || /^(all$|session:|account:|address:)/.test(subject)).toBe(true);
    }),
  );
});
