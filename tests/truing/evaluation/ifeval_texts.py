"""For each instruction id of IFEval, a text that follows the instruction and one that does not, from its arguments."""

from collections.abc import Callable, Mapping
from typing import Any

Arguments = Mapping[str, Any]
Texts = tuple[str, str]

FILLER = "The river runs past the old mill and the farmers bring their grain to it every autumn."
"""English without a comma, a capital word, a bracket, an asterisk or a digit."""

SENTENCES = {
    "ar": "وصل القطار متأخراً إلى المحطة وكان الناس ينتظرون في البرد منذ الصباح.",
    "bg": "Влакът пристигна късно на гарата и хората чакаха на студа още от сутринта.",
    "bn": "ট্রেনটি দেরিতে স্টেশনে পৌঁছেছিল এবং মানুষ সকাল থেকে ঠান্ডায় অপেক্ষা করছিল।",
    "de": "Der Zug kam zu spät am Bahnhof an und die Leute warteten seit dem Morgen in der Kälte.",
    "fa": "قطار دیر به ایستگاه رسید و مردم از صبح در سرما منتظر بودند و چای می‌نوشیدند.",
    "fi": "Juna saapui myöhässä asemalle ja ihmiset olivat odottaneet kylmässä aamusta asti.",
    "gu": "ટ્રેન મોડી સ્ટેશન પર પહોંચી અને લોકો સવારથી ઠંડીમાં રાહ જોઈ રહ્યા હતા.",
    "hi": "ट्रेन देर से स्टेशन पर पहुँची और लोग सुबह से ठंड में इंतज़ार कर रहे थे।",
    "it": "Il treno arrivò in ritardo alla stazione e la gente aspettava al freddo dalla mattina.",
    "kn": "ರೈಲು ತಡವಾಗಿ ನಿಲ್ದಾಣಕ್ಕೆ ಬಂದಿತು ಮತ್ತು ಜನರು ಬೆಳಿಗ್ಗೆಯಿಂದ ಚಳಿಯಲ್ಲಿ ಕಾಯುತ್ತಿದ್ದರು.",
    "ko": "기차가 역에 늦게 도착했고 사람들은 아침부터 추위 속에서 기다리고 있었다.",
    "mr": "गाडी उशिरा स्थानकावर पोहोचली आणि लोक सकाळपासून थंडीत वाट पाहत होते आहेत.",
    "ne": "रेल ढिलो गरी स्टेसनमा आइपुग्यो र मानिसहरू बिहानदेखि चिसोमा पर्खिरहेका थिए।",
    "pa": "ਰੇਲਗੱਡੀ ਦੇਰ ਨਾਲ ਸਟੇਸ਼ਨ ਤੇ ਪਹੁੰਚੀ ਅਤੇ ਲੋਕ ਸਵੇਰ ਤੋਂ ਠੰਢ ਵਿੱਚ ਉਡੀਕ ਕਰ ਰਹੇ ਸਨ।",
    "pt": "O comboio chegou atrasado à estação e as pessoas não tinham parado de esperar ao frio desde a manhã.",
    "ru": "Поезд пришёл на станцию с опозданием и люди ждали на морозе с самого утра.",
    "sw": "Treni ilichelewa kufika kituoni na watu walikuwa wakisubiri kwenye baridi tangu asubuhi.",
    "ta": "ரயில் தாமதமாக நிலையத்திற்கு வந்தது மற்றும் மக்கள் காலையிலிருந்து குளிரில் காத்திருந்தனர்.",
    "te": "రైలు ఆలస్యంగా స్టేషన్‌కు వచ్చింది మరియు ప్రజలు ఉదయం నుండి చలిలో వేచి ఉన్నారు.",
    "th": "รถไฟมาถึงสถานีช้าและผู้คนรอคอยอยู่ในความหนาวตั้งแต่เช้า",
    "ur": "ریل گاڑی دیر سے اسٹیشن پر پہنچی اور لوگ صبح سے سردی میں انتظار کر رہے تھے۔",
    "vi": "Tàu đến ga muộn và mọi người đã chờ trong cái lạnh từ sáng sớm.",
}


def counted(text: Callable[[int], str], limit: int, relation: str) -> Texts:
    """Texts at the two sides of a limit: `limit` things are "at least" it, one fewer "less than" it."""
    at, below = text(limit), text(limit - 1)
    return (at, below) if relation == "at least" else (below, at)


def exactly(text: Callable[[int], str], number: int) -> Texts:
    return text(number), text(number + 1)


def at_least(text: Callable[[int], str], number: int) -> Texts:
    return text(number), text(number - 1)


def paragraphs(number: int, between: str, first: str = "") -> str:
    return between.join(f"{first}{FILLER}" for _ in range(number))


def nth_paragraph(given: Arguments) -> Texts:
    """The word begins the n-th paragraph; or every paragraph but that one."""
    n, word, total = given["nth_paragraph"], given["first_word"], given["num_paragraphs"]
    right = [f'"{word.title()}, {FILLER}"' if i == n else FILLER for i in range(1, total + 1)]
    wrong = [FILLER if i == n else f"{word} {FILLER}" for i in range(1, total + 1)]
    return "\n\n".join(right), "\n\n".join(wrong)


def keyword_times(given: Arguments) -> Texts:
    def text(times: int) -> str:
        return "zz " + f"{given['keyword'].upper()} zz " * times

    return counted(text, given["frequency"], given["relation"])


def letter_times(given: Arguments) -> Texts:
    other = "x" if given["letter"].lower() != "x" else "z"

    def text(times: int) -> str:
        return other + given["letter"].upper() * (times // 2) + given["letter"] * (times - times // 2)

    return counted(text, given["let_frequency"], given["let_relation"])


def capitals(given: Arguments) -> Texts:
    return counted(lambda n: "Some " + "LOUD " * n, given["capital_frequency"], given["capital_relation"])


MAKERS: Mapping[str, Callable[[Arguments], Texts]] = {
    "keywords:existence": lambda given: (
        f"zz {' zz '.join(given['keywords']).upper()}",
        f"zz {' zz '.join(given['keywords'][:-1])}",
    ),
    "keywords:frequency": keyword_times,
    "keywords:forbidden_words": lambda given: (
        " ".join(f"{word}zz" for word in given["forbidden_words"]),
        f"zz ({given['forbidden_words'][-1].upper()})!",
    ),
    "keywords:letter_frequency": letter_times,
    "language:response_language": lambda given: (SENTENCES[given["language"]], FILLER),
    "length_constraints:number_sentences": lambda given: counted(
        lambda n: f"{FILLER} " * n if n else "...", given["num_sentences"], given["relation"]
    ),
    "length_constraints:number_paragraphs": lambda given: exactly(
        lambda n: paragraphs(n, "\n\n***\n\n"), given["num_paragraphs"]
    ),
    "length_constraints:number_words": lambda given: counted(
        lambda n: "zz " * n, given["num_words"], given["relation"]
    ),
    "length_constraints:nth_paragraph_first_word": nth_paragraph,
    "detectable_content:number_placeholders": lambda given: at_least(
        lambda n: "Dear " + "[name] " * n, given["num_placeholders"]
    ),
    "detectable_content:postscript": lambda given: (
        f"{FILLER}\n\n{given['postscript_marker'].lower()} {FILLER}",
        f"{FILLER}\n\nPost scriptum: {FILLER}",
    ),
    "detectable_format:number_bullet_lists": lambda given: exactly(
        lambda n: "**Points**\n" + "".join(f"{'*-'[i % 2]} {FILLER}\n" for i in range(n)) + "---", given["num_bullets"]
    ),
    "detectable_format:constrained_response": lambda given: ("So: My answer is maybe.", "My answer is perhaps."),
    "detectable_format:number_highlighted_sections": lambda given: at_least(
        lambda n: "** * " + " ".join(f"{'*' * (1 + i % 2)}part{'*' * (1 + i % 2)}" for i in range(n)),
        given["num_highlights"],
    ),
    "detectable_format:multiple_sections": lambda given: at_least(
        lambda n: "zz" + "".join(f"\n{given['section_spliter']} {i + 1}\n{FILLER}" for i in range(n)),
        given["num_sections"],
    ),
    "detectable_format:json_format": lambda given: ('```json\n{"river": [1, 2]}\n```', 'Here: {"river": [1, 2]}'),
    "detectable_format:title": lambda given: (f"<<The river>>\n{FILLER}", f"<< >>\n<The river>\n{FILLER}"),
    "combination:two_responses": lambda given: (f"{FILLER}\n******\nAnother", f"{FILLER}\n******\n{FILLER}"),
    "combination:repeat_prompt": lambda given: (
        f"{given['prompt_to_repeat'].upper()}\n\n{FILLER}",
        f"Sure. {given['prompt_to_repeat']}\n\n{FILLER}",
    ),
    "startend:end_checker": lambda given: (f'"{FILLER} {given["end_phrase"].upper()}"', f"{given['end_phrase']} Bye"),
    "startend:quotation": lambda given: (f'"{FILLER}"', f'"{FILLER}'),
    "change_case:english_capital": lambda given: (FILLER.upper(), FILLER.upper() + " a"),
    "change_case:english_lowercase": lambda given: (FILLER.lower(), FILLER),
    "change_case:capital_word_frequency": capitals,
    "punctuation:no_comma": lambda given: (FILLER, f"{FILLER}, {FILLER}"),
}
