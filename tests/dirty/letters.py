"""Tables of towns in languages and encodings that people's programs write."""

# ruff: noqa: E501, RUF001 (letters of these languages are wide, and resemble others)

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

TOWNS = {
    "German": "Köln München Düsseldorf Nürnberg Münster Mönchengladbach Lübeck Saarbrücken Würzburg "
    "Göttingen Tübingen Gießen Zürich Österreich Fürth Osnabrück Mülheim Schwäbisch-Gmünd Straße "
    "Größe Überlingen Völklingen Döbeln Bünde Görlitz Plön Ärzte Weißenfels Jülich Höxter",
    "French": "Orléans Nîmes Besançon Saint-Étienne Béziers Évreux Angoulême Châteauroux Mâcon Sète "
    "Alès Compiègne Chambéry Épinal Fréjus Hyères Thionville-Élange Périgueux Créteil Sèvres Noël "
    "Bécon Forêt Hôpital Château-Thierry Genève Québec Liège Bobigny-Drancé Garçon Élève Café",
    "Spanish": "Málaga Córdoba Cádiz León Gijón Castellón Almería Jaén Cáceres Logroño Ávila Mérida "
    "Alcalá Móstoles Leganés Alcorcón Getafe-Año Coruña Águilas Úbeda Niño España Bogotá Medellín "
    "Cúcuta Ibagué Tunja-Río Popayán Montería Peñíscola Güines Mazatlán Culiacán",
    "Portuguese": "São-Paulo Brasília Goiânia Belém Maceió Florianópolis Vitória João-Pessoa Cuiabá "
    "Macapá Santarém Uberlândia Niterói Jundiaí Maringá Évora Setúbal Guimarães Bragança Viseu-Sé "
    "Portimão Matosinhos-Leça Almada-Cruz-Quebradã Coração Ribeirão Conceição Açores Funchal-Sé",
    "Swedish": "Malmö Göteborg Västerås Örebro Linköping Jönköping Umeå Gävle Borås Växjö Luleå "
    "Östersund Södertälje Skellefteå Kristianstad-Å Trollhättan Nyköping Skövde Uddevalla-Ö Mölndal "
    "Ängelholm Sandviken-Å Varberg-Ås Härnösand Piteå Landskrona-Ö Åmål Öland Köping Lidingö",
    "Polish": "Łódź Kraków Wrocław Poznań Gdańsk Białystok Częstochowa Toruń Rzeszów Gorzów Zabrze-Śląskie "
    "Bielsko-Biała Dąbrowa-Górnicza Płock Elbląg Wałbrzych Włocławek Tarnów Chorzów Słupsk Będzin "
    "Przemyśl Świdnica Żory Ostrołęka Łomża Mysłowice Kędzierzyn Kołobrzeg Zgierz-Łąka",
    "Czech": "Plzeň Olomouc-město Ústí České-Budějovice Hradec-Králové Zlín Havířov Kladno-střed Děčín "
    "Jihlava-východ Karlovy-Vary-jih Třebíč Znojmo-sever Přerov Chomutov-západ Kroměříž Šumperk "
    "Uherské-Hradiště Břeclav Jindřichův-Hradec Příbram Žďár Mladá-Boleslav Frýdek Kolín Řípec",
    "Hungarian": "Győr Székesfehérvár Kecskemét Pécs Nyíregyháza Szombathely-Ős Szolnok-Tószeg Érd "
    "Tatabánya Kaposvár Békéscsaba Veszprém Zalaegerszeg-Ő Sopron-Ágfalva Hódmezővásárhely "
    "Dunaújváros Cegléd Baja-Érsekcsanád Salgótarján Gödöllő Vác Orosháza Hajdúböszörmény Gyöngyös",
    "Romanian": "Iaşi Timişoara Constanţa Braşov Galaţi Ploieşti Brăila Bacău Piteşti Târgu-Mureş "
    "Buzău Botoşani Râmnicu-Vâlcea Suceava-Băneşti Piatra-Neamţ Bistriţa Reşiţa Călăraşi Focşani "
    "Târgovişte Vaslui-Bârlad Alba-Iulia-Şard Slobozia-Ialomiţa Paşcani Mediaş Făgăraş Câmpina",
    "Croatian": "Šibenik Požega Čakovec Sinj-Žrnovnica Križevci Đakovo Županja Makarska-Bršečine "
    "Poreč Vukovar-Vučedol Koprivnica-Đurđevac Karlovac-Ožujak Beli-Manastir-Čeminac Sveta-Nedjelja-Šćit "
    "Našice Daruvar-Šumarska Varaždin Nin-Šćedro Bjelovar-Ždralovi Petrinja-Češka Ploče Senj-Šušanj",
    "Turkish": "İstanbul İzmir Eskişehir Diyarbakır Şanlıurfa Kahramanmaraş Balıkesir Gümüşhane "
    "Çanakkale Muğla Kırıkkale Ağrı Iğdır Şırnak Nevşehir Kırşehir Uşak Çorum Elazığ Muş Niğde "
    "Adıyaman Aydın Tekirdağ Çankırı Kütahya Düzce Bartın-Güzelcehisar Karabük Kırklareli",
    "Russian": "Москва Новосибирск Екатеринбург Казань Челябинск Омск Самара Ростов-на-Дону Уфа "
    "Красноярск Воронеж Пермь Волгоград Краснодар Саратов Тюмень Тольятти Ижевск Барнаул Ульяновск "
    "Иркутск Хабаровск Ярославль Владивосток Махачкала Томск Оренбург Кемерово Рязань Пенза",
    "Ukrainian": "Київ Харків Одеса Дніпро Запоріжжя Львів Кривий-Ріг Миколаїв Вінниця Херсон Полтава "
    "Чернігів Черкаси Житомир Суми Хмельницький Чернівці Рівне Кропивницький Івано-Франківськ "
    "Тернопіль Луцьк Ужгород Біла-Церква Бердянськ Нікополь Слов'янськ Бровари Єнакієве Їжаківка",
    "Bulgarian": "София Пловдив Варна Бургас Русе Стара-Загора Плевен Сливен Добрич Шумен Перник "
    "Хасково Ямбол Пазарджик Благоевград Велико-Търново Враца Габрово Асеновград Видин Казанлък "
    "Кърджали Кюстендил Монтана Димитровград Търговище Ловеч Силистра Разград Дупница Свищов",
    "Greek": "Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο Λάρισα Βόλος Ιωάννινα Τρίκαλα Χαλκίδα Σέρρες Ξάνθη "
    "Κατερίνη Καλαμάτα Καβάλα Χανιά Λαμία Κομοτηνή Ρόδος Αγρίνιο Δράμα Βέροια Κοζάνη Καρδίτσα "
    "Ρέθυμνο Πτολεμαΐδα Τρίπολη Κόρινθος Γιαννιτσά Μυτιλήνη Ναύπλιο Έδεσσα Άργος",
    "Hebrew": "ירושלים תל-אביב חיפה ראשון-לציון פתח-תקווה אשדוד נתניה באר-שבע חולון רמת-גן "
    "אשקלון רחובות בת-ים הרצליה כפר-סבא חדרה מודיעין לוד רמלה נצרת רעננה עכו אילת טבריה "
    "נהריה צפת דימונה עפולה קריית-גת גבעתיים",
    "Arabic": "القاهرة الإسكندرية الجيزة بغداد البصرة الموصل الرياض جدة مكة المدينة الدمام دمشق "
    "حلب حمص عمان بيروت طرابلس صيدا تونس صفاقس الجزائر وهران قسنطينة الرباط فاس مراكش طنجة "
    "الخرطوم صنعاء عدن مسقط الكويت الدوحة المنامة",
    "Lithuanian": "Šiauliai Panevėžys Klaipėda-miestas Marijampolė Mažeikiai Utena-rūmai Kėdainiai "
    "Telšiai Visaginas-gatvė Tauragė Ukmergė Plungė Šilutė Kretinga-Žaliūkė Radviliškis Rokiškis "
    "Biržai Elektrėnai Garliava-Mūšos Joniškis Anykščiai Prienai-Nemunėlis Varėna Kuršėnai Žagarė",
    "Latvian": "Rīga Liepāja Jelgava-pilsēta Jūrmala Rēzekne Valmiera-tīrums Ogre-ūdens Jēkabpils "
    "Tukums-Šlokenbeka Salaspils-ķēde Cēsis Kuldīga Olaine-Ķekava Saldus-Brocēni Talsi-Sabīle "
    "Dobele-Žagare Krāslava Bauska-Īslīce Ludza-Zilupē Gulbene-Jaunā Līvāni Aizkraukle-Pļaviņas",
    "Thai": "กรุงเทพ เชียงใหม่ เชียงราย นนทบุรี ปทุมธานี ขอนแก่น อุดรธานี นครราชสีมา ชลบุรี ระยอง "
    "ภูเก็ต สงขลา หาดใหญ่ สุราษฎร์ธานี นครปฐม ลำปาง พิษณุโลก อยุธยา ราชบุรี กาญจนบุรี ตรัง "
    "อุบลราชธานี ร้อยเอ็ด สกลนคร กระบี่ ตาก ลพบุรี สระบุรี",
    "Japanese": "東京都 横浜市 大阪市 名古屋市 札幌市 福岡市 神戸市 川崎市 京都市 さいたま市 広島市 仙台市 "
    "千葉市 北九州市 堺市 新潟市 浜松市 熊本市 相模原市 岡山市 静岡市 船橋市 鹿児島市 川口市 "
    "八王子市 姫路市 宇都宮市 松山市 つくば市 いわき市 ニセコ町 えびの市",
    "Simplified Chinese": "北京 上海 广州 深圳 天津 重庆 成都 武汉 西安 南京 杭州 苏州 沈阳 青岛 大连 "
    "宁波 厦门 济南 哈尔滨 长春 郑州 长沙 福州 石家庄 昆明 南宁 贵阳 太原 兰州 乌鲁木齐 呼和浩特 海口",
    "Traditional Chinese": "臺北市 高雄市 臺中市 臺南市 桃園市 新竹市 嘉義市 基隆市 彰化縣 屏東縣 雲林縣 "
    "苗栗縣 南投縣 宜蘭縣 花蓮縣 臺東縣 澎湖縣 金門縣 連江縣 板橋區 中壢區 鳳山區 三重區 新莊區 "
    "香港 九龍 澳門 淡水區 永和區 士林區",
    "Korean": "서울특별시 부산광역시 대구광역시 인천광역시 광주광역시 대전광역시 울산광역시 세종시 수원시 "
    "성남시 고양시 용인시 부천시 안산시 안양시 전주시 청주시 천안시 포항시 창원시 김해시 제주시 "
    "구미시 원주시 춘천시 강릉시 경주시 여수시 목포시",
}
"""Names with letters outside ASCII, by language."""

ENCODINGS = [
    *(("German", one) for one in ("cp1252", "cp850")),
    *(("French", one) for one in ("cp1252", "mac_roman")),
    *((language, "cp1252") for language in ("Spanish", "Portuguese", "Swedish")),
    *(("Polish", one) for one in ("cp1250", "iso8859_2")),
    *(("Czech", one) for one in ("cp1250", "iso8859_2")),
    *(("Hungarian", one) for one in ("cp1250", "iso8859_2")),
    *((language, "cp1250") for language in ("Romanian", "Croatian")),
    ("Turkish", "cp1254"),
    *(("Russian", one) for one in ("cp1251", "koi8_r", "cp866")),
    *(("Ukrainian", one) for one in ("cp1251", "koi8_u")),
    ("Bulgarian", "cp1251"),
    *(("Greek", one) for one in ("cp1253", "iso8859_7")),
    ("Hebrew", "cp1255"),
    ("Arabic", "cp1256"),
    *((language, "cp1257") for language in ("Lithuanian", "Latvian")),
    ("Thai", "cp874"),
    *(("Japanese", one) for one in ("cp932", "euc_jp")),
    ("Simplified Chinese", "gb18030"),
    ("Traditional Chinese", "big5"),
    ("Korean", "cp949"),
]
PLAIN = ["London", "Paris", "Oslo", "Rome", "Madrid", "Berlin", "Vienna", "Prague", "Dublin"]


@dataclass(frozen=True)
class Letters:
    """A table of towns in one language and encoding.

    Attributes
    ----------
    language, encoding
        What it is written in.
    towns
        The column `town`, as it should be read.
    content
        The file.
    """

    language: str
    encoding: str
    towns: list[str]
    content: bytes


def tables(density: float, rows: int = 300) -> Iterator[Letters]:
    """Yield a table for each encoding; this share of its rows has letters outside ASCII."""
    for language, encoding in ENCODINGS:
        draw = random.Random(f"{language} {encoding} {density}")
        names = TOWNS[language].split()
        towns = [draw.choice(names if draw.random() < density else PLAIN) for _ in range(rows)]
        lines = ["id,town,size,kind,price"]
        lines += [
            f"{1000 + number},{town},{draw.randint(10, 99)},{draw.choice(['flat', 'house'])},"
            f"{draw.uniform(100, 900):.2f}"
            for number, town in enumerate(towns)
        ]
        content = ("\n".join(lines) + "\n").encode(encoding)
        yield Letters(language, encoding, towns, content)
