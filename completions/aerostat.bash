# SPDX-License-Identifier: BSD-2-Clause
# Completion of aerostat's command line for bash: the program itself is asked for what may come next.

# Paths below what is typed, with a slash after folders; $2 stands before each.
_aerostat_files() {
    local path
    while IFS= read -r path; do
        [ -d "$path" ] && path=$path/
        COMPREPLY+=("$2$path")
    done < <(compgen -f -- "$1")
}

_aerostat() {
    # The word as typed: bash has cut it at '=' and ':'.
    local line=${COMP_LINE:0:COMP_POINT} word before question reply cut
    word=${line##*[[:space:]]}
    before=${line%"$word"}
    before=${before%"${before##*[![:space:]]}"}
    before=${before##*[[:space:]]}
    COMPREPLY=()
    case $word in
    -*) question=$word ;;
    *) question="$before $word" ;;
    esac
    while IFS= read -r reply; do
        if [ "$reply" = :files ]; then
            cut=${word##*[=:]}
            _aerostat_files "$cut" "${word%"$cut"}"
        else
            COMPREPLY+=("$reply")
        fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" -complete "$question" 2>/dev/null)
    # What ends so goes on.
    case ${COMPREPLY[*]} in
    *[=:,/]) compopt -o nospace 2>/dev/null ;;
    esac
    # Of what bash has cut off, nothing is given back.
    cut=${word%"${word##*[=:]}"}
    [ -n "$cut" ] && COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    return 0
}

complete -F _aerostat aerostat
