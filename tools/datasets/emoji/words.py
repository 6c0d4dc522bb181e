# SPDX-License-Identifier: Apache-2.0
"""Captions: nouns, articles, plurals, and the sentences of grammar.json."""
import json
import pathlib
import re

GRAMMAR = json.loads((pathlib.Path(__file__).parent / "grammar.json").read_text())
MOST_WORDS = 6


def article(noun):
    """"an apple", "a cat"; nothing before plurals and what cannot be counted."""
    head = noun.split(" with ")[0].split(" of ")[0]
    last = head.split()[-1]
    if last in GRAMMAR["uncountable"] or head in GRAMMAR["uncountable"] or is_plural(last):
        return noun
    vowel = noun[0] in "aeiou" and not re.match(r"(uni(?!n)|eu|one\b|ufo)", noun)
    return ("an " if vowel or re.match(r"(hour|heir|honest)", noun) else "a ") + noun


def is_plural(word):
    irregular = GRAMMAR["irregular_plurals"]
    if word in irregular.values() and irregular.get(word, word) == word and word.endswith("s"):
        return True
    return len(word) > 3 and word.endswith("s") and not re.search(r"(ss|us|is|as)$", word) or word in ("people", "men", "women")


def countable(noun):
    head = noun.split(" with ")[0].split(" of ")[0]
    return not (head in GRAMMAR["uncountable"] or head.split()[-1] in GRAMMAR["uncountable"] or is_plural(head.split()[-1]))


def plural(noun):
    """Of the first noun of "bowl of rice" and "person with hat", else of the last word."""
    found = re.match(r"(.+?)( (?:with|of|in|on|and) .+)$", noun)
    head, tail = found.groups() if found else (noun, "")
    *before, word = head.split(" ")
    irregular = GRAMMAR["irregular_plurals"]
    if word in irregular:
        word = irregular[word]
    elif re.search(r"(s|x|z|ch|sh)$", word):
        word += "es"
    elif re.search(r"[^aeiou]y$", word):
        word = word[:-1] + "ies"
    else:
        word += "s"
    return " ".join([*before, word]) + tail


def noun_of(label):
    """A CLDR label as a noun: "woman: red hair" -> "woman with red hair", "flag: Peru" -> "flag of peru"; None when it is too long."""
    text = label.lower().replace("’", "'")
    head, colon, tail = text.partition(": ")
    if colon:
        if head == "flag":
            text = "flag of " + tail
        elif "skin tone" in tail:
            text = head + " with " + tail.replace(" tone", "")
        else:
            text = head + " with " + tail
    text = re.sub(r"\s+", " ", re.sub(r"[“”\"().!,?]", "", text)).strip()
    return text if text and len(text.split()) <= MOST_WORDS else None


def choose(options, rng):
    return options[int(rng.integers(len(options)))]


def where(background, rng):
    """" on a yellow background"; white is said now and then."""
    if background == "white" and rng.random() >= GRAMMAR["shares"]["white_said"]:
        return ""
    text = choose(GRAMMAR["backgrounds"], rng).format(article="an" if background[0] in "aeiou" else "a", colour=background)
    return text if text.startswith(",") else " " + text


def sentence(what, style, background, rng, bare=False):
    """@param bare  `what` has its own articles or numbers"""
    place = where(background, rng)
    subject = what if bare or rng.random() >= GRAMMAR["shares"]["article"] else article(what)
    if style is None:
        return choose(GRAMMAR["plain"], rng).format(subject=subject) + place
    return choose(GRAMMAR["styled"], rng).format(subject=subject, bare=what, style=style, where=place)
