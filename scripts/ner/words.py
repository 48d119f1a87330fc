"""Sentences, blocks and word lists of the training texts: {slots} are filled by generate.py, (a|b) is one of them."""

SENTENCES = """
Could you (tell|ask|remind) {given} that the meeting with {person} has moved to Thursday?
{person} (wrote|rang|complained|called) again about the (late|missing|broken) parcel from {org}.
Please (send|forward|ship) the (replacement|contract|keys) to {address} before Friday.
The (courier|driver|postman) could not find {address}, so the parcel went back to {town}.
We (moved|are moving) from {place} to {place} (last spring|in June|next month) because of {given}'s new job.
{given} and {given} are (flying|driving|travelling) to {place} (tomorrow|on Monday|for the weekend).
I (work|worked) for {org} in {place} for (six|ten|two) years before joining {org}.
{org} (announced|said|confirmed) on Tuesday that {person} will (lead|head|run) its office in {place}.
Shares of {org} fell (after|when) {person}, its (chief executive|founder|chair), resigned.
The {nrp} (government|embassy|ministry|team|police) (denied|rejected|confirmed) the report.
A {nrp} (engineer|singer|tourist|driver|court) named {person} was (seen|arrested|honoured) in {place}.
My (sister|brother|boss|wife|husband|neighbour|landlord|lawyer|doctor|colleague) {given} lives (at|in) {place}.
My (sister|brother|boss|wife|husband|neighbour|landlord|lawyer) lives at {address}.
I live at {address}, and the bill still goes to {address}.
Our new office is (at|located at) {address}.
Change the (delivery|invoice|shipping) address on order {ident} to {address}(.|, please.|)
Is there a (branch|shop|store|clinic) of {org} (near|close to|around) {street_line} in {town}?
Hello, I am {person} and I (need|want) help with my (invoice|subscription|router|booking).
Hi {given}, thanks for (getting back to me|your quick reply|the update). {given}
Dear {person}, your (appointment|table|application) at {org} is confirmed for {date}.
Dear (Mr.|Mrs.|Ms|Dr) {surname}, we (regret|are happy) to inform you about your claim {ident}.
(Mr|Mrs|Ms|Dr|Prof)(.|) {surname} (will see you|is on leave|signed the form|has left {org}).
Mr {person} from {place} (has paid|did not pay) the invoice of {amount}.
(Ask|Tell|Invite|Email) {person} from {org} whether {place} is still possible.
Kind regards, {person}
Best, {given}
Thanks, {person}, {job} at {org}
(Sincerely|Cheers|Yours),\n{person}\n{org}
name: {person}, city: {town}, phone: {phone}
customer {person} ({mail}) asked for a refund of {amount} on card {card}
The account (belongs to|is held by|was opened by) {person}, born {date} in {town}, {country}.
{person}'s (passport|licence|account|card) number is {ident}.
Card {card} (was issued to|is registered to) {person}, {address}.
Call {given} (on|at) {phone} or write to {mail}.
{given} said that {given} had (never|once) been to {place}.
{given} (laughed|shrugged|nodded|whispered): "I thought {given} was still in {place}."
"{given}, did you (lock|close) the door?" (asked|shouted|said) {given}.
As {person} (put|wrote|explained) it in {date}, nobody in {place} expected {org} to win.
The (film|novel|album|play) was (directed|written|recorded|produced) by {person} and (stars|features) {person}.
{person} plays the (villain|detective|lead) in a {date} {nrp} drama directed by {person}.
Songs by {person} and {person} are (on the list|missing), but {coined} is not.
{person} (scored|missed|won) twice (against|for) {place} (in the final|last night|on Sunday).
The (river|road|train) (between|from) {place} (and|to) {place} is closed.
It rained in {place}, {country} and {place} (all week|yesterday).
I grew up in {place}, {country}, but my (parents|grandparents) are {nrp}.
{given} is a {nrp} (nurse|teacher|student|lawyer) who (studied|lived) in {place}.
He speaks {nrp} and (some|a little) {nrp}.
What is the weather (like in|in) {place} (tomorrow|today|in May)?
Find (hotels|flights|a dentist|a plumber|restaurants) (in|near|to) {place} for {given}.
Book a table for (two|four) at {org} in {place} under {surname}.
Which (company|bank|hotel) did {person} (mention|recommend|use): {org} or {org}?
{org} (bought|sued|merged with|supplies|outbid) {org} for {amount} million.
Since {date}, {org} has (invested|lost) money in {place}.
{org}, {org} and {org} (dominate|left|entered) the {nrp} market.
The (agency|regulator|court) fined {org} (after complaints|over a leak|for delays).
I (ordered|bought) a {product} from {org}, order {ident}, and it never came to {town}.
My {product} from {coined} stopped working, says {given}.
Ship two {product}s to {person}, {address}.
Return to sender: {person}, {address}
The landlord of {street_line}, {unit}, is {person}.
Meet me at {street_line} (at noon|at 5 pm|tonight), {given}.
{given} parked outside {street_line} and walked to {street_line}.
A fire broke out at {street_line} in {town} (early on Monday|last night).
Deliver to {unit}, {street_line}, {town} {code}, {country}.
Where should we send it? To {address}(, please|. Thank you|)
Agent: Which address do you have now? Caller: {address}
Agent: May I have your (full name|name)? Caller: (It's|Sure,|Yes,) {person}
User: who is {person}? Assistant: {person} is a {job} from {place}.
user {given} logged in from {place}
Ticket {ident}: {person} cannot open the {product} app since {date}.
(reporter|assignee|owner): {person}
{person} <{mail}> wrote on {date}:
From: {person} To: {person} Subject: the {product} for {org}
I (met|interviewed|hired|saw) {person:a} in {place}; {person:a} (liked|hated) it.
{given} turned {date} and moved to {place} with {given} and {given}.
My (grandfather|grandmother|great-aunt|uncle) was called {person}, (his|her) mother {person}.
(We|They) named the (baby|dog|boat) {given}, after {given}'s aunt.
Patient {person} was (admitted|discharged) at {org} on {date} by Dr. {surname}.
Nurse {surname} (called|told) {given} about the results.
The (claim|policy) of {person} with {org} (expires|was refused) on {date}.
Employee {person} ({job}, {org}) (reported|lost) a badge, ID {ident}.
Investigators found {person}'s tax number {ident} in a spreadsheet of {org}.
An (audit|export|email|log) of {org} (showed|exposed|listed) {person}, {phone}, {mail}.
{person}, {person} and {person} (attended|missed) the call.
Applicant {person} (sent|uploaded) a scan of a (passport|licence) {ident}.
Can I still use my {org} card in {place}? My name is {person}
Is the {org} website {url} down in {country}?
I'm {given}, I'm {n} and I'm from {place}.
im {given} from {place} and i lost my card
this is {person} calling from {org}
please change the name on my account to {person}
it should be under {surname} or my (wife's|husband's|partner's) name {person}
What does {person} think about {place}?
{place} is (lovely|cold|expensive) in (spring|winter).
(Visit|Welcome to|Greetings from) {place}!
{place}: (police|doctors|students) protest
{given} from {coined} just (joined|left) the call.
I can't reach {given}. Neither can {given}.
Has {given} (paid|signed|answered)?
(Who|Where) is {person}?
{person} is (kind|tired|a good listener|my manager|out of office|on holiday|our contact at {org}).
{surname} and {surname} were (brilliant|late|the best engineers of their time).
{nrp} (food|music|wine|football|law) is (popular|different) in {place}.
(Some|Many|Most) {nrp} (people|customers|students) (live|work) in {place}.
The (border|trade deal) between {country} and {country} (reopened|failed).
In {country}, (people|workers|drivers) (pay|earn|work) less than in {country}.
He was (born|raised|buried) in {town}, {country} in {date}.
The {nrp} {job} {person} (moved|returned) to {place}.
Our {job} {given} will (call|visit) you at {address}.
Invoice for {org}, {address}, attn. {person}
the parcel for {given} is at {unit} {street_line}
For the attention of {person}, {job}, {org}, {address}
To whom it may concern: {person} has worked at {org} as a {job} since {date}.
""".strip().splitlines()

BLOCKS = """
{person}\\n{org}\\n{street_line}\\n{unit}\\n{town}\\n{country} {code}
{person}\\n{street_line}\\n{town}\\n{code}
{person}\\n{address}\\n{country}
> {person}\\n> {org}\\n> {person}\\n> {street_line}\\n> {unit}\\n> {town}\\n> {country} {code}
Ship to: {person}\\n  {street_line}\\n  {unit}\\n  {town}\\n  {country}\\n  {code}
Invoice to {person}\\n   {street_line} {unit}\\n   {town}\\n   {code}
{person}\\n{job}\\n{org}\\n{address}
{person}\\n\\n{job}\\n\\nContact\\nTel:\\n{phone}\\nMail:\\n{mail}\\nWeb:\\n{url}\\nHome:\\n{address}
{org}\\n{address}\\n\\nDear {person},\\n\\nplease find our offer for the {product} attached.\\n\\nRegards\\n{person}\\n{job}
Hi {given},\\n\\n(thanks for the call|see the notes below|the {product} has arrived). {given} will (visit|call) on {date}.\\n\\n(Best|Cheers|Kind regards),\\n{person}\\n{job}, {org}\\n{phone}
{person}\\n{org}\\n{phone} office\\n{phone} fax\\n{mail}
{person} | {job} | {org} | {place} | {phone}
name,city,company\\n{person},{town},{org}\\n{person},{town},{org}\\n{person},{town},{org}
| name | city | phone |\\n| --- | --- | --- |\\n| {person} | {town} | {phone} |\\n| {person} | {town} | {phone} |
{"name": "{person}", "city": "{town}", "company": "{org}", "id": "{ident}"}
{"customer": {"first": "{given}", "last": "{surname}", "address": "{address}"}, "total": {n}}
Name: {person}\\nDate of birth: {date}\\nAddress: {address}\\nPhone: {phone}
First name: {given}\\nLast name: {surname}\\nEmployer: {org}\\nCountry: {country}
Date: {date}\\nPatient: {person}\\nHospital: {org}\\nTown: {town}
- {person} ({org})\\n- {person} ({place})\\n- {person}
# Minutes\\n\\n**Present**: {given}, {given}, {person}\\n**Place**: {place}\\n\\n{given} presents the {product}. {given} objects.
{given}: (hi|hey), are you in {place}?\\n{given}: no, back (home|at {org})
{person}\\n{street_line}, {town}, {country} {code}\\n{phone} mobile\\n{phone} home
{street_line}\\n{unit}\\n{town}, {country}
{address}
{street_line}, {town}
Delivery address:\\n{address}\\nBilling address:\\n{address}
The address of {given} is:\\n\\n{address}
As agreed, {given} lives here now:\\n{address}\\n\\nBring flowers!
""".strip().splitlines()
BLOCKS = [block.replace("\\n", "\n") for block in BLOCKS]

PLAIN = """
(Summarise|Translate|Rewrite|Explain|Classify|Shorten|Review) the (following|text below|ticket|conversation|email) (in one sentence|for a manager|politely|).
(Order|Ticket|Invoice|Case|Task|Reference) {ident} (is|was) (late|closed|paid|refunded|open).
Password (reset|must have twelve characters|expired|policy).
Email (and|or) Phone are required. Address is optional.
Card number {card} was declined on {date}.
My SSN is {ident} and my IBAN is {ident}. Is that enough?
Routing Number, Tax ID and Passport are stored in the Database.
The SQL query on the Users table failed with Error {n}.
Write a Python function that parses JSON and returns a List.
What is the capital of the country that won the World Cup?
Bot: How can I help you? User: I forgot my PIN.
Can you help me with my (bill|card|password|account|order|delivery)?
The {product} costs {amount}, shipping included.
Thank you very much. Have a nice day!
Yes, please. No, thanks. OK then.
I have a headache, and I took Aspirin twice.
Monday to Friday, 9 am to 5 pm, except in December and on Christmas.
How do I (block|activate|replace|cancel) my (credit card|SIM|account|subscription)?
What is the limit of my card? Can I raise it Online?
Please find the PDF, the CSV and the API Key below.
Why was I charged twice for one purchase on {date}?
Turn on the lights in the living room and set an alarm for {n} minutes.
Assistant: Here are three ideas. 1. Compost. 2. Recycling. 3. Repair.
Step {n}: Open Settings, choose Security, then click Save.
The Customer agrees to the Terms and Conditions. The Service may change.
In this Section we describe the Method, the Data and the Results.
A train leaves at {n} and arrives {n} minutes later. How far is it?
Total: {amount}\\nTax: {amount}\\nDue: {date}
import os\\nimport json\\n\\nclass Order(Model):\\n    total = Decimal()
SELECT id, name FROM customers WHERE created > '{date}' LIMIT {n};
GET /v1/orders/{n}?page=2 HTTP/1.1\\nHost: {url}
TODO: fix Bug {n}; deploy to Staging; ask QA.
You are a helpful assistant. Answer in English. Use Markdown. Never mention Internal Notes.
Classify the Sentiment as Positive, Negative or Neutral.
Login failed. Incident opened. Severity High. Owner: Security Team.
Health Insurance covers Physical Therapy since {date}.
Unit tests pass. Integration tests fail on Windows and Linux.
I want to speak to a Manager. This is the Third time!
WHY IS THIS SO SLOW??? PLEASE HELP NOW!!!
Hello there! Good morning everyone. Dear Customer, Dear Sir or Madam, Hi Team,
Dear (Support|Team|Customer|Hiring Manager|colleagues), (please advise|see below|thank you).
She said that he left because it was late.
Error: Connection refused (Timeout after {n} ms). Retry later.
{job} wanted: {n} hours a week, {amount} an hour.
The new {product} has a better Camera, more Storage and Bluetooth.
""".strip().splitlines()
PLAIN = [line.replace("\\n", "\n") for line in PLAIN]

DEMONYMS = (
    "American British English Scottish Welsh Irish French German Austrian Swiss Italian Spanish Portuguese Dutch Belgian Swedish "
    "Norwegian Danish Finnish Icelandic Polish Czech Slovak Hungarian Romanian Bulgarian Greek Turkish Russian Ukrainian Serbian "
    "Croatian Slovenian Estonian Latvian Lithuanian Canadian Mexican Brazilian Argentinian Chilean Peruvian Colombian Venezuelan "
    "Cuban Jamaican Indian Pakistani Bangladeshi Nepali Chinese Japanese Korean Vietnamese Thai Indonesian Malaysian Filipino "
    "Australian Egyptian Moroccan Tunisian Algerian Libyan Nigerian Ghanaian Kenyan Ethiopian Somali Tanzanian Zambian Iranian "
    "Iraqi Israeli Palestinian Syrian Lebanese Jordanian Saudi Afghan Kazakh Uzbek Georgian Armenian Mongolian Catholic Muslim "
    "Jewish Buddhist Hindu Christian Protestant Sikh Kurdish Basque Catalan Bavarian Sicilian European African Asian Arab Maltese "
    "Cypriot Luxembourger Bolivian Ecuadorian Paraguayan Uruguayan Haitian Dominican Cambodian Laotian Burmese Bosnian Albanian "
    "Macedonian Montenegrin Belarusian Moldovan Tibetan Samoan Fijian Tongan Maori Liberian Senegalese Malian Rwandan Ugandan"
).split()  # fmt: skip

JOBS = """accountant|electrician|nurse|software engineer|truck driver|bank clerk|head of sales|Teacher|Civil engineer|Dental hygienist|Account manager|Retail buyer|Stage manager|lab technician|paralegal|Welder|Office administrator|bus driver|Data analyst|Product Owner|marketing director|Chef|Plumber|police officer|Social worker|geologist|Event planner|Forklift operator|Library assistant|Physiotherapist|Vice President|CEO|Claims Adjuster""".split(
    "|"
)

PRODUCTS = """kettle|laptop|phone|router|desk lamp|bicycle|headphones|printer|coat|sofa|camera|tablet|Galaxy phone|Model S|subscription|gift card|washing machine|toaster|monitor|keyboard|e-bike|Smart Watch|air fryer|backpack""".split(
    "|"
)

WORDS = {
    "org_tail": """Ltd|Inc|Inc.|LLC|GmbH|AG|SA|S.A.|plc|PLC|Group|Holdings|Partners|Labs|Insurance|Insurance Group|Bank|Capital|Consulting|Solutions|Systems|Software|Logistics|Foods|Foundation|Institute|Motors|Pharma|Energy|Media|Studios|Airlines|Corp|Corporation|Co.|& Sons|& Co|Associates|Analytics|Technologies|Networks|Records|Hotels|Health|Clinic|Credit Union|Cooperative|Legal|Trust|Ventures|Robotics|Insight|Maps|Data|Research|Services|Advisors|Economics|International|Company""".split(
        "|"
    ),
    "org_head": """Northern|Summit|Blue River|Harbour|Granite|Evergreen|Union|First National|Silver Oak|Lakeside|Redwood|Pioneer|Atlas|Beacon|Cedar|Meridian|Sterling|Apex|Horizon|Liberty|Civic|Open|Urban|Global|Prime|Golden|Coastal|Valley|Metro|Alpine|Orchard|Falcon|Anchor|Stone|Bright|Clear|Home|Farm|Health|Legal|Energy|Weather|Geo|Market|Traffic|Water|Climate|Student|Property|Community|Child|Family""".split(
        "|"
    ),
    "org_institution": """University|City Council|Police Department|General Hospital|Museum of Art|Chamber of Commerce|Airport|Public Library|High School|Times|Herald|Stock Exchange|Football Club|United|Central Bank|Zoo|Opera|Institute of Technology|Medical Center|Ministry of Health|Transit Authority""".split(
        "|"
    ),
    "coin_head": """aero|agri|ama|audi|bio|bit|blu|buzz|calc|car|cent|cloud|code|core|cred|crowd|data|deep|dent|digi|doc|edu|ener|equi|esti|ever|fab|farm|fin|fit|flex|flo|fresh|fund|gen|geo|grid|health|home|hyper|ideo|info|inno|insta|job|juri|kin|lend|link|live|local|loop|luma|map|market|med|meta|mint|mobi|muck|nano|nav|neo|net|nex|nova|omni|open|opti|orbi|patient|pay|peer|pixel|plan|play|poli|port|pro|pulse|quant|rank|rent|retro|robo|sale|scan|shop|sky|smart|social|solar|spot|stat|street|tech|tele|terra|think|trade|trend|ultra|urba|vent|vera|vest|vibe|volt|wave|web|well|wiki|xeno|yield|zen|zill|zoom""".split(
        "|"
    ),
    "coin_tail": """ly|ify|io|ix|ex|on|a|ia|ics|aro|ora|ent|ant|ado|ero|book|base|box|cast|check|com|craft|cube|dash|desk|dyne|feed|flow|force|forge|gate|grid|hub|labs|lane|leaf|lens|light|line|link|list|logic|loop|maps|mark|mate|media|mind|nest|net|path|pay|point|port|pulse|rock|scape|scope|sense|share|shift|smith|soft|sonic|source|space|spark|sphere|stack|stream|sure|sys|tap|tec|tech|tel|track|trend|tron|vault|verse|view|ville|vision|ware|wave|wise|works|yard|zone""".split(
        "|"
    ),
}
