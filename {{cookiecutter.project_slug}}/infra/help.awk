# What `make help` shows, from the comments of the Makefile and of each limb's targets.mk:
#
#   ##@ GROUP                         what comes next belongs to it, to the end of the file
#   target: needs ## text; OPTIONS    on the screen, up to the semicolon
#   target: needs ### text; OPTIONS   by its name alone
#
# `make help V=1` shows all of it. A limb may add such a line to a target that it extends.

FNR == 1 { group = "more" }

/^##@ / { group = substr($0, 5) }

/^[a-z][a-z-]*:.*## / {
    if (!(group in shown)) groups[++count] = group
    name = substr($0, 1, index($0, ":") - 1)
    text = substr($0, index($0, "## ") + 3)
    rest = index(text, ";")
    options = rest ? substr(text, rest + 1) : ""
    if (rest) text = substr(text, 1, rest - 1)
    if (all) shown[group] = shown[group] wrap(sprintf("make %-16s ", name), text, 22) wrap("", options, 22)
    else if (/### /) { names = names " " name; shown[group] = shown[group] "" }
    else shown[group] = shown[group] wrap(sprintf("%-9s%-12s ", shown[group] ? "" : group, name), text, 22)
}

END {
    if (!all) print "make TARGET [OPTION=value ...]; make help V=1 tells all targets and options"
    for (i = 1; i <= count; i++) printf "%s%s", all ? "\n" groups[i] "\n" : "", shown[groups[i]]
    if (names) printf "%s", wrap("and", names, 9)
}

# Words in lines of at most 79 characters; `line` begins the first, and `indent` spaces the others.
function wrap(line, words, indent,    list, number, i, lines) {
    number = split(words, list, " ")
    for (i = 1; i <= number; i++) {
        if (i > 1 && length(line) + 1 + length(list[i]) > 79) {
            lines = lines line "\n"
            line = ""
        }
        line = (length(line) > indent ? line " " : sprintf("%-" indent "s", line)) list[i]
    }
    return number ? lines line "\n" : ""
}
