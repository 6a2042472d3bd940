import time

import pytest

from tvdim_jax.data.reports import report_sentences, report_text, split_sentences

# Written for this test in the manner of a chest X-ray report.
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough.  // pneumonia?

 COMPARISON:  Radiograph of ___.

 FINDINGS:

 The lungs are clear of focal consolidation, pleural effusion or
 pneumothorax.  The heart is not enlarged.
 LINES AND TUBES:  A nasogastric tube ends 2.5 cm below the carina.

 IMPRESSION:

 1. No acute process.
 2. Tube as described by Dr. ___ at 5:15 p.m. on ___.

 NOTIFICATION:  Discussed with Dr. ___ by phone.
"""


def test_the_sections_of_a_report():
    text = report_text(REPORT)
    assert text.startswith("The lungs are clear")
    assert "IMPRESSION" not in text
    for gone in ("EXAMINATION", "year old", "Radiograph of", "Discussed", "FINAL"):
        assert gone not in text
    assert report_sentences([text], 12) == [
        "The lungs are clear of focal consolidation, pleural effusion or pneumothorax.",
        "The heart is not enlarged.",
        "LINES AND TUBES: A nasogastric tube ends 2.5 cm below the carina.",
        "No acute process.",
        "Tube as described by Dr. at 5:15 p.m. on.",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        (" \n\t\n", ""),
        ("FINDINGS:\n\nIMPRESSION:\n", ""),
        ("FINAL REPORT", ""),
        ("FINAL REPORT\n CHEST\n\n Lungs are clear.", "CHEST\n\n Lungs are clear."),
        ("No heading at all", "No heading at all"),
        ("WET READ: Small effusion.\n FINAL REPORT\n IMPRESSION: None.", "None."),
        ("FINDINGS: A.\nHISTORY: B.\nCONCLUSION: C.\nTECHNIQUE: D.", "A.\n\nC."),
        ("FINDINGS AND IMPRESSION: A.", "A."),
        ("RECOMMENDATION(S):  A.", "A."),
        ("INDICATION: A.\r\nFINDINGS\r\nB.\r\n", "B."),
        ("FINDINGS: Clear. IMPRESSION: Normal. COMPARISON: None.", "Clear.\n\nNormal."),
        ("Findings: a.\nImpression: b.", "a.\n\nb."),
        ("REASON FOR THE EXAMINATION: A.\nIMPRESSION: B.", "B."),
        # None of these is a heading: it stays where it stands.
        ("IMPRESSION: A.\nThe findings were told: B.", "A.\nThe findings were told: B."),
        ("IMPRESSION: A.\nLUNGS: B.", "A.\nLUNGS: B."),
        ("The indication is unknown: A", "The indication is unknown: A"),
        ("FINDINGS: The final impression\nis clear.", "The final impression\nis clear."),
        ("FINDINGS: Größe 3 µm – normal.", "Größe 3 µm – normal."),
    ],
)
def test_odd_reports(text, wanted):
    assert report_text(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \n ", []),
        ("no full stop", ["no full stop"]),
        ("One.  Two!\nThree? Four", ["One.", "Two!", "Three?", "Four"]),
        ("lower case. goes on here.", ["lower case.", "goes on here."]),
        ("A tube\nends 2.5 cm\nabove. B", ["A tube ends 2.5 cm above.", "B"]),
        ("It measures 2.5. The heart is large.", ["It measures 2.5.", "The heart is large."]),
        ("Seen by Dr. Who and Mr. X. Later.", ["Seen by Dr. Who and Mr. X. Later."]),
        ("Small, e.g. left, i.e. here, approx. 3 cm. Next.", [
            "Small, e.g. left, i.e. here, approx. 3 cm.", "Next."]),
        ("J. Doe read it. At 38 degrees C. It fell.", ["J. Doe read it.", "At 38 degrees C.",
                                                       "It fell."]),
        ("About 3 cm. in size.", ["About 3 cm. in size."]),
        ("At 5 a.m. the tube. At 6 p.m. The end.", ["At 5 a.m. the tube.", "At 6 p.m.",
                                                    "The end."]),
        ("Compare no. 5. Is there any? no. Really.", ["Compare no. 5.", "Is there any?", "no.",
                                                      "Really."]),
        ("1. One thing\n2. Two things\n  wrapped\n3) Three", ["One thing", "Two things wrapped",
                                                              "Three"]),
        ("Seen: One thing. 2. Two. (3) Three. 4.", ["Seen: One thing.", "Two.", "Three."]),
        ("- dash\n* star\n• dot\n– long", ["dash", "star", "dot", "long"]),
        ("left-sided\n-2 stays in line", ["left-sided -2 stays in line"]),
        ("no stop\n\nnew block", ["no stop", "new block"]),
        ('He said "clear." Then left. (So.) End', ['He said "clear."', "Then left.", "(So.)",
                                                   "End"]),
        (". Starts with it. . Ends", [".", "Starts with it.", ".", "Ends"]),
        ("Wait... what?! Yes.", ["Wait...", "what?!", "Yes."]),
        ("T1.w3 is fine.", ["T1.w3 is fine."]),
        ("Größer. Ähnlich wie 胸部。 Ende", ["Größer.", "Ähnlich wie 胸部。 Ende"]),
    ],
)  # fmt: skip
def test_sentences(text, wanted):
    assert split_sentences(text) == wanted


@pytest.mark.parametrize(
    "text", ["No pneumothorax.", "Lungs clear.", "No effusion.", "Normal heart.", "2.5 cm."]
)
def test_two_words_are_a_sentence(text):
    assert report_sentences([text, "Clear. ", f"Normal. {text}"], 9) == [text]


def test_short_sentences_blanks_and_repeats_are_left_out():
    texts = [
        "No acute process. Normal. Stable ___. NO  ACUTE process. Heart is large .",
        "Heart is large. 2.5. Three small words. \x00 ., ; !",
    ]
    assert report_sentences(texts, 9) == [
        "No acute process.",
        "Heart is large.",
        "Three small words.",
    ]
    assert report_sentences(texts, 2) == ["No acute process.", "Heart is large."]
    assert report_sentences([], 9) == report_sentences(["", "one"], 9) == []


def test_two_texts_are_not_one_sentence():
    assert report_sentences(["a dog runs", "on the grass"], 9) == ["a dog runs", "on the grass"]


@pytest.mark.parametrize(
    "text",
    [
        "word " * 2_000,
        "x" * 10_000,
        "No effusion seen. " * 600,
        "FINDINGS: " * 1_000,
        "A B" * 3_333,
        "\n" * 10_000,
        "- 1. " * 2_000,
        "." * 10_000,
        "Dr. " * 2_500,
        "( " * 5_000,
    ],
)
def test_ten_thousand_characters(text):
    start = time.perf_counter()
    sentences = report_sentences([report_text(text)], 12)
    assert time.perf_counter() - start < 1
    assert all(len(sentence) <= 1000 for sentence in sentences)
    assert len(sentences) == (1 if text[0] in "wN" else len(sentences))


def test_texts_are_cut_after_twenty_thousand_characters():
    text = "Word is here. " * 1_428 + "Last seen here. " * 1_000
    assert report_sentences([text], 12) == ["Word is here.", "Last see"]
    assert report_text("x" * 30_000) == "x" * 20_000
