"""Sentences and words with capitals that name nobody: what assistants are asked about. {slots} and (a|b) as in words.py."""

CHATS = """
(How do|How can) I (install|configure|restart|uninstall|upgrade) {tech} on {tech}?
{tech} (and|or) {tech}: which (one|of them) is (faster|easier to learn|cheaper)?
{tech} is (a|an open-source) (framework|database|language|service|tool) that (runs on|works with|replaces) {tech}.
Deploy the {tech} (container|cluster|service|Operator|Dashboard) (behind|with|on) {tech}.
The {acronym} (fell|rose) by {n} points while {acronym} and {acronym} (lagged|gained).
(A|The) {acronym} (request|error|certificate|setting|level) (differs from|depends on) {acronym}.
{tech} {acronym} (keys|tokens|quotas|regions) can be (changed|deleted|listed) in {tech}.
Use {tech} Assistant or {tech} Discovery (to|and) search the documents.
1. {heading}: {heading} and {heading}.\\n2. {heading}: {tech}.\\n3. {heading}: {heading}.
- **{heading}**: {heading} (is|are) important.\\n- **{heading}**: (try|use|avoid) {tech}.
## {heading} and {heading}\\n\\n{heading} (varies|matters|helps), but {heading} does not.
{heading} {heading} ({heading}, {heading}) is covered in Chapter {n}.
(Is|Was) {title} (any good|worth watching|a sequel|on tonight)?
Play {title} (please|on the kitchen speaker|in the living room|from the album {title}).
I (watched|saw|liked|finished) {title} and {title}. The (plot|score|ending) of {title} was great.
{title} is a (drama|comedy|novel|musical|video game|song) from {year}.
(Get|Buy|Reserve) me {n} tickets for {title} at {venue} (tonight|on Friday|at 8 pm).
{title} (is showing|plays|starts) at {n} pm at {venue}.
There is a (table|room|slot) free at {venue} (at 6:30 pm|tomorrow|on the {n}th).
I (suggest|found|recommend|like) {venue}. It serves {cuisine} food and is (cheap|mid-priced|moderate).
What about {venue} or {venue}? Both (are open|have parking|got 4.5 stars).
{venue} (is closed|has live music|does not take bookings|is a nice restaurant).
Do they have {cuisine} (cuisine|dishes|food) with {dish} and {dish}?
Mix {dish}, {dish} and two spoons of {dish}. Serve with {dish}.
It will be {n} degrees (Celsius|Fahrenheit) (with|and) a wind of {n} mph and {n} percent rain.
The temperature (is|drops to) {n} (degrees Fahrenheit|°F|Fahrenheit|Celsius) on {weekday}.
{weekday} (is fine|works|suits me). {weekday} at {n} or {weekday}, {month} {n}?
See you on {weekday}. Or do you prefer {month}?
(May|Will|Mark|Bill|Can|Could|Would) (I|you|we) (pay|book|help|go) (later|now|in {month})?
{month} and {month} are (warm|wet|the busiest months).
The {airline} flight (departs|leaves) at {n} am and (arrives|lands) at {n} pm.
I'd like (economy|premium economy|business class) with {airline} or {airline}.
{airline} (has|offers) a direct flight for {amount}.
How far (is|away is) {planet} from the (sun|Sun|Earth|Moon)?
{planet} is (larger|smaller|colder) than {planet}, and {planet} has (rings|moons).
Life on {planet}? (Scientists|Astronomers|Rovers) have found (water|ice|methane) on {planet}.
{disease} and {disease} (are|share) (symptoms|risk factors). Does {medicine} help against {disease}?
(Take|Avoid) {medicine} with {medicine}. {medicine} may cause {disease}.
(Vitamin B|Vitamin D|Vitamin B12|Omega 3|Zinc) is good for {disease}.
Hurricane {given_plain} (hit|reached|missed) the coast in {year}. Tropical Storm {given_plain} (formed|weakened).
The {surname_plain} (theorem|equation|effect|Prize|scale|IRA|index|algorithm|method) (was|is) (named|described) in {year}.
({surname_plain}|{given_plain})'s (disease|law|syndrome|paradox|razor) is (rare|well known|hard to explain).
A {surname_plain} IRA (and|or) a 401(k): which (pays|is taxed) less?
The {given_plain} (chair|dress|engine|framework|release|app) costs {amount}.
My {brand} {product} and the {brand} {product} (broke|are new|arrived).
(Is|Was) the {brand} {model} better than the {brand} {model}?
{brand} (announced|sells|recalled) the {model} {product}.
(He|She|They|It) (compared|mixed|confused) {heading} with {heading}.
(Sure|Okay|Great|Alright|Certainly|Absolutely|Noted|Done|Perfect|Awesome|Cool), (your|the) (booking|alarm|payment|order) is (set|confirmed|done).
(Sure|Okay|Great|Alright|Maybe|Hmm|Wow|Sorry|Nice|Fine|Sounds good), (what|how|when|where) (is|are|about) (it|they|that)?
(Please confirm|Confirming|Let me check|Got it): {n} people, {weekday}, {n} pm, {cuisine}, {venue}.
(New|Another|First|Morning|Grocery) (alarm|Alarm|run|Run|shopping|appointment) is set for {n}:30 am.
(I need|Find me|Book) a (Psychologist|Psychiatrist|Dentist|Gynecologist|Dermatologist|Hair Stylist|Therapist|Doctor) (nearby|for {weekday}|please).
(Question|Answer|Context|Task|Example|Note|Hint|Input|Output) {n}: {heading} of {heading}
class {camel}({camel}):\\n    def {snake}(self, {snake}): return {camel}({snake})
`{snake}` returns a {camel}; see {camel}.{snake} and {acronym}.
from {snake} import {camel}, {camel}
""".strip().splitlines()
CHATS = [chat.replace("\\n", "\n") for chat in CHATS]

LISTS = {
    "tech": """Python|Java|JavaScript|TypeScript|Rust|Ruby|Perl|Julia|Scala|Swift|Kotlin|Haskell|Pascal|Ada|Delphi|Kubernetes|Docker|Jenkins|Ansible|Terraform|Helm|Istio|Calico|Kafka|Cassandra|Redis|Hadoop|Spark|PostgreSQL|MySQL|MongoDB|Oracle|Django|Flask|Spring Boot|React|Angular|Vue|Node.js|Linux|Ubuntu|Debian|Fedora|Windows|macOS|Android|iOS|Chrome|Firefox|Safari|Edge|Outlook|Excel|Word|PowerPoint|Slack|Teams|Zoom|Jira|Confluence|GitHub|GitLab|Watson|Alexa|Siri|Cortana|Claude|Gemini|Llama|Mistral|ChatGPT|Copilot|Elastic|Grafana|Prometheus|Nginx|Apache|Tomcat|Maven|Gradle|Hugo|Jekyll|Pandas|Jupyter|Cloud Foundry|Object Storage|Bluetooth|Postman|Celery|Sentry|Vault|Consul|Nomad|Flink|Airflow|Snowflake|Tableau|Bitcoin|Ethereum""".split("|"),
    "acronym": "API DNS TLS SSL VPC VPN IAM SDK CLI CRD SQL CSV JSON YAML XML HTTP DJIA NYSE ETF IRA GDP VAT CPU GPU RAM SSD USB LAN DMV FAQ SLA KPI CRM ERP AWS GCP IaaS PaaS SaaS CNI CTE AGI MAGI FEMA NASA CDC TB HIV DNA RNA MRI CEO HR IT".split(),
    "heading": """Access Control|Backup|Billing|Budget|Communication|Compost|Confidence|Customer Service|Data|Deployment|Earthquake|Education|Embrace Change|Emergency Plan|Energy|Environment|Exercise|Experience|Flood|Gratitude|Growth|Hazard Mitigation|Healthy Eating|History|Income|Innovation|Inspection|Integration|Keystores|Leadership|Location|Long-Term Goals|Maintenance|Management|Market|Marketing|Mindfulness|Monitoring|Nature|Networking|Nutrition|Observations|Parking|Performance|Permits|Planning|Pricing|Privacy|Quality|Recovery|Regulation|Research|Resources|Retirement|Revenue|Safety|Schedule|Security|Service|Shipping|Sleep|Storage|Strategy|Submitted Plans|Supplemental Income|Sustainability|Taxes|Teamwork|Technology|Tornado|Tourism|Training|Transportation|Wildfire|Wellness|Works""".split("|"),
    "title_head": "The|The|The|A|My|Our|Last|Dark|Silent|Golden|Broken|Lost|Secret|Wild|Blue|Midnight|Summer|Winter|Electric|Burning|Hidden|Crimson|Little|Lonely|Endless|Fallen|Happy|Red|Silver|Sweet".split("|"),
    "title_tail": "Harbour|Carousel|Kingdom|Detective|Garden|Horizon|Island|Journey|Letters|Machine|Mirror|Mountain|Orchestra|Paradise|Promise|River|Road|Shadows|Ship|Silence|Sky|Song|Storm|Stranger|Thieves|Tide|Tower|Train|Voices|Waltz|Winds|Witness|Wolves|Hearts|Dreams|Fire|Empire|Ghost|Platinum|Legends".split("|"),
    "venue_tail": "Restaurant|Grill|Grille|Bistro|Taqueria|Cafe|Café|Diner|Kitchen|Bakery|Pizzeria|Trattoria|Bar & Grill|Steakhouse|Sushi|Noodle House|Tavern|Pub|Brasserie|Cantina|Buffet|BBQ|Theatre|Cinema|Cinemas|Arena|Stadium|Salon|Hair Studio|Spa|Dental|Hotel|Inn|Motel|Apartments|Townhomes|Gallery|Market|Deli".split("|"),
    "venue_head": "Golden|Green|Blue|Royal|Little|Happy|Jade|Lotus|Bamboo|Olive|Lemon|Silver|Red|Black|Village|Garden|Corner|Old Town|Crossroads|Vineyard|Sidebar|Matador|Hacienda|Casa|La Piazza|El Toro|Le Jardin|Taverna|Osteria|Saffron|Basil|Ginger|Pepper|Sakura|Tandoori|Mariposa|Fiesta|Bella|Terra|Aqua|Luna".split("|"),
    "cuisine": "Italian|Mexican|Thai|Indian|Vietnamese|Chinese|Japanese|French|Greek|Spanish|Korean|American|Mediterranean|Asian|Ethiopian|Lebanese|Turkish|Peruvian|vegetarian|vegan|seafood|barbecue".split("|"),
    "dish": "Basil|Rosemary|Ginger|Bourbon|Cumin|Paprika|Parmesan|Mozzarella|Cheddar|Brie|Risotto|Ramen|Pho|Tacos|Burrito|Paella|Curry|Naan|Hummus|Falafel|Kimchi|Sushi|Tofu|Caesar salad|Bolognese|Pesto|Espresso|Champagne|Merlot|Guacamole|lemon|olive oil|garlic|rice|chicken|salmon".split("|"),
    "weekday": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday".split("|"),
    "month": "January|February|March|April|May|June|July|August|September|October|November|December".split("|"),
    "planet": "Mercury|Venus|Earth|Mars|Jupiter|Saturn|Uranus|Neptune|Pluto|Europa|Titan|Ganymede|Callisto|the Moon|Ceres".split("|"),
    "airline": "Delta|Delta Airlines|United|United Airlines|American Airlines|Southwest|JetBlue|Alaska Airlines|Lufthansa|Ryanair|easyJet|British Airways|Air France|KLM|Iberia|Emirates|Qantas".split("|"),
    "disease": "dementia|Parkinson's|Alzheimer's|diabetes|asthma|influenza|Covid|Ebola|malaria|tuberculosis|Crohn's|lupus|measles|migraine|depression|anxiety|hypertension|Lyme disease|shingles|eczema".split("|"),
    "medicine": "Aspirin|Ibuprofen|Tylenol|Paracetamol|Metformin|Nicotine|Prozac|Xanax|Insulin|Penicillin|Amoxicillin|Lipitor|Zoloft|Caffeine|Melatonin".split("|"),
    "brand": "Apple|Samsung|Sony|Ford|Tesla|Mercedes|Honda|Toyota|Lenovo|Dell|Canon|Nikon|Nike|Adidas|Lego|Nokia|Bosch|Dyson|Yamaha|Harley|Porsche|Ferrari|Vespa|Citi|Chase".split("|"),
    "model": "Galaxy|Pixel|Fiesta|Focus|Civic|Accord|Corolla|Camry|Model S|Model Y|ThinkPad|Inspiron|Walkman|Air Max|Roomba|Kindle|Switch|Cayenne|Golf|Polo|Mustang|Explorer|Pokémon Platinum|Cybertruck".split("|"),
    "camel": "OrderList|HttpClient|UserProfile|LoadBalancer|TokenStore|BaseModel|ValueError|JsonParser|EventLoop|QuerySet|FormField|DataFrame|FileReader|TestCase|PathLike|Session|Manager|Decimal|Counter|Field".split("|"),
    "snake": "get_value|parse_args|user_id|max_size|read_line|to_json|on_close|self_test|file_name|load_all|item|index|value|result|query|path|config|main|utils|settings".split("|"),
}  # fmt: skip
