"""Names of people where the words around them say so: titles, greetings, signatures, labels. No language model is needed."""

import re

from redaction.patterns.rule import Rule, rule

#: Who is greeted or signs without being a person, and words that begin a sentence there.
NO_NAME = re.compile(
    r"(?i)^(?:team|all|everyone|everybody|folks|guys|friends?|sirs?|madam|there|again|support|customers?|colleagues?|user|assistant|"
    r"bot|admin|valued|hiring|manager|members?|partners?|ladies|gentlemen|to|from|thanks?|you|your|i|we|the|a|an|my|our|this|that|please|"
    r"is|are|was|it|so|just|not|no|yes|for|and|in|on|of|at|sent|regards|best|kind|sincerely|cheers|dear|hi|hello|sales|marketing|service|"
    r"help|desk|department|president|god|lord|world|how|what|when|where|who|why|can|could|do|does|did|if|would|will|order|subject|date|re|santa|true|false|none|null|caller|author|sender|recipient|applicant)$"
)
_N = r"[^\W\d_a-zß-ÿ](?:[^\W\d_]|['’-](?=[^\W\d_])){1,25}"
_I = r"(?:[^\W\d_a-zß-ÿ]\.)"
_LINK = r"(?:van der |van den |van de |van |von der |von |vom |zu |de la |de los |del |de |di |da |dos |du |le |la |el |al-|bin |ibn |ter |ten |O'|Mc|Mac)"
_FULL = rf"(?:{_I} ?)?{_N}(?: (?:{_I} ?){{0,2}}{_LINK}?{_N}){{0,2}}"


def _name(text: str) -> bool:
    first, *_ = text.split()
    return not NO_NAME.match(first.strip(".,")) and not (text.isupper() and len(text) > 24)


_TITLES = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Dame|Lady|Rev|Reverend|Fr|Capt|Captain|Sgt|Lt|Col|Maj|Gen|Sen|Senator|Rep|Judge|"
    r"Nurse|Officer|Detective|Herr|Frau|Mme|Mlle|Madame|Monsieur|M\.|Señor|Señora|Sra|Sr|Signor|Signora|Sig|Dott|Dhr|Mevr|Mevrouw|Herrn|Pan|Pani)"
)
_FAREWELL = (
    r"(?:(?:best|kind|warm|many|with (?:best|kind|warm)|kindest|warmest)?\s?(?:regards|wishes|thanks)|best|sincerely|yours(?: (?:sincerely|faithfully|truly))?|"
    r"cheers|thanks(?: again| so much| a lot)?|thank you(?: very much)?|cordially|respectfully|love|take care|all the best|ta|"
    r"mit freundlichen grüßen|viele grüße|liebe grüße|beste grüße|lg|mfg|cordialement|bien à vous|amicalement|saludos|un saludo|atentamente|"
    r"cordiali saluti|distinti saluti|groeten|met vriendelijke groet|atenciosamente|hälsningar|med vänliga hälsningar)"
)
_GREETING = r"(?:hi|hello|hey|dear|hallo|hola|bonjour|salut|cher|chère|liebe|lieber|ciao|caro|cara|querid[oa]|estimad[oa]|beste|geachte|hej|good (?:morning|afternoon|evening)|morning|welcome(?: back)?|thanks|thank you|sorry|ok|okay)"
_LABEL = (
    r"(?:(?:full|first|last|sur|family|given|maiden|middle|nick)[ _-]?name|(?:customer|client|patient|employee|guest|passenger|student)(?:[ _-]?name)?|"
    r"contact(?:[ _-]?(?:name|person))?|emergency contact|next of kin|account[ _-]?holder|card[ _-]?holder|policy[ _-]?holder|beneficiary|payee|recipient|applicant|"
    r"claimant|insured|witness|spouse|guardian|attn\.?|attention|name|sender|signed(?: by)?|author|agent|manager|assignee|assigned to|requester|reporter|"
    r"(?:reported|opened|raised|requested|approved) by|caller|physician|vorname|nachname|kontoinhaber(?:in)?|versicherte[r]?|ansprechpartner(?:in)?|nom|prénom|titulaire|"
    r"nombre(?: y apellidos)?|apellidos?|titular|cognome(?: e nome)?|nome(?: e cognome)?|intestatario|naam|voornaam|achternaam|imię(?: i nazwisko)?|nazwisko|namn|förnamn|efternamn)"
)
#: Columns of databases that hold names of people; `name` alone may be anything's.
_COLUMN = (
    r"(?:(?:full|first|last|family|given|maiden|middle)_?name|surname|(?:customer|client|patient|employee|guest|passenger|student|contact|person|"
    r"account_?holder|card_?holder|policy_?holder)_?name|vorname|nachname|prenom|apellidos?|cognome|voornaam|achternaam|nazwisko|efternamn)"
)
_SAID = r"(?:my name is|my name's|name is|i am called|i'm called|this is|call me|je m'appelle|ich heiße|me llamo|mi chiamo|speaking with|spoke (?:to|with)|on behalf of|signed by)"

RULES: tuple[Rule, ...] = (
    rule("PERSON", rf"(?<![\w]){_TITLES}\.?\s(?P<value>{_FULL})", 0.85, check=_name, reach=(2, 110),
         needs="mr |mrs |ms |miss |mx |dr |prof |professor |doctor |sir |dame |lady |rev |reverend |fr |capt |captain |sgt |lt |col |maj |gen |"
               "sen |senator |rep |judge |nurse |officer |detective |herr |herrn |frau |mme |mlle |madame |monsieur |m |señor |señora |sra |sr |"
               "signor |signora |sig |dott |dhr |mevr |mevrouw |pan |pani "),
    rule("PERSON", rf"(?im:^|[.!?]\s|[>\"]\s?)(?i:{_GREETING}),?[ ](?:{_TITLES}\.? )?(?P<value>{_FULL})(?=\s*[,!.:;?-]|\s*$|\s*\n|\s+(?:and|und|et|y)\s)", 0.8, check=_name,
         needs="hi |hello |hey |dear |hallo |hola |bonjour |salut |cher |chère |liebe |lieber |ciao |caro |cara |querido |querida |estimado |estimada |beste |geachte |"
               "hej |morning |afternoon |evening |welcome |thanks |thank |sorry |ok |okay "),
    rule("PERSON", rf"(?:^|(?<=[\n.!?])|(?<=[.!?] ))[ \t>]{{0,8}}(?i:{_FAREWELL})[,.!]?[ \t]{{0,4}}(?:\n[ \t>]{{0,8}}){{0,3}}[-~]{{0,2}} ?(?P<value>{_FULL})(?=[ \t]*(?:[\n,.|(]|$))", 0.8, check=_name,
         needs="regards |wishes |thanks |thank |best |sincerely |yours |cheers |cordially |cordialement |respectfully |love |care |ta |grüßen |grüße |groet |groeten |lg |"
               "mfg |vous |amicalement |saludos |saludo |atentamente |saluti |atenciosamente |hälsningar "),
    rule("PERSON", rf"(?m:^|[\n{{,;|(>]|[.!?] )[ \t>*#|-]{{0,8}}[\"']?(?i:{_LABEL})[\"'*]{{0,2}}\s?[:=]\s?[*]{{0,2}}[\"']?[ ]?(?:{_TITLES}\.? )?(?P<value>{_FULL})", 0.8, check=_name, needs="name|customer|client|patient|employee|guest|passenger|student|contact|kin|holder|beneficiary|payee|recipient|applicant|claimant|"
               "insured|witness|spouse|guardian|attn|attention|sender|signed|author|agent|manager|assign|requester|reporter|ed by|caller|physician|inhaber|versichert|"
               "ansprechpartner|nom|titula|apellido|intestatario|naam|imię|nazwisko|namn", reach=(16, 130)),
    # As conditions and assignments of SQL have them.
    rule("PERSON", rf"(?i:(?<![^\W_]){_COLUMN}[\"`\]]?\s{{0,3}}(?:=|<>|!=|\bi?like\b)\s{{0,3}})'%?(?P<value>{_FULL})(?=%?')", 0.8, check=_name,
         needs="name|nachname|prenom|apellido|cognome|naam|nazwisko|efternamn", reach=(30, 130)),
    rule("PERSON", rf"(?i:\b{_SAID})\s(?:{_TITLES}\.? )?(?P<value>{_FULL})", 0.75, check=_name,
         needs="name|called|this is|call me|appelle|heiße|llamo|chiamo|spoke|speaking|behalf|signed"),
)  # fmt: skip
