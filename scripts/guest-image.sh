#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Makes what guests boot: bzImage, vmlinux (the same kernel as an uncompressed ELF) and initramfs.cpio.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/guest-image.sh [--update] [OUTDIR]
Makes OUTDIR/bzImage, OUTDIR/vmlinux and OUTDIR/initramfs.cpio (default build/guest) from Debian's cloud kernel,
busybox and guest/. Does nothing when they are there and up to date.
  --update  look for a newer kernel first
END
}

modules=virtio_pci,virtio_mmio,virtio_balloon,virtio_blk,virtio_net,virtio_console,virtio-rng,button,evdev
applets=sh,ash,cat,ls,echo,grep,awk,sed,head,tail,wc,sort,cut,tr,dd,od,hexdump,cmp,md5sum,sha256sum,cp,mv,rm,mkdir,rmdir
applets+=,ln,chmod,touch,stat,df,du,free,ps,top,kill,sleep,date,dmesg,mount,umount,mknod,sync,vi,less,more,find,xargs
applets+=,test,[,true,false,printf,seq,env,id,uname,uptime,lsmod,insmod,rmmod,modprobe,ip,ifconfig,ping,nc,wget,udhcpc
applets+=,stty,reset,clear,poweroff,reboot,halt,devmem,blockdev,blkdiscard,fstrim,mkswap,swapon,swapoff,timeout,time
applets+=,which,expr,sysctl,tee,taskset,basename,dirname,readlink,truncate

out=$build/guest update=()
while [ $# -gt 0 ]; do
    case $1 in
    --update) update=(--update) ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; die "unknown option $1" ;;
    *) out=$1 ;;
    esac
    shift
done

kernel=$("$top/scripts/kernel.sh" "${update[@]}")
busybox=$(command -v busybox) || die "busybox is not installed: run scripts/setup.sh"
# Which applets there are is the distribution's choice.
applets=$(tr , '\n' <<<"$applets" | grep -Fx -f <("$busybox" --list) | paste -sd ,)
key=$( (basename "$kernel"; echo "$modules $applets"; cat "$top"/guest/*.c "$top/scripts/initramfs.py" "$busybox") | sha256sum)

mkdir -p "$out"
exec 9>"$out/.lock"
flock 9
if [ -f "$out/vmlinux" ] && [ -f "$out/bzImage" ] && [ -f "$out/initramfs.cpio" ] &&
    [ "$(cat "$out/.key" 2>/dev/null)" = "$key" ]; then
    exit 0
fi

say "guest image from $(basename "$kernel")"
rm -f "$out/.key"
gcc -std=gnu11 -O2 -Wall -static -s -o "$out/init" "$top/guest/init.c"
for f in bzImage vmlinux; do
    ln -f "$kernel/$f" "$out/$f" 2>/dev/null || cp -f "$kernel/$f" "$out/$f"
done
"$top/scripts/initramfs.py" --out "$out/initramfs.cpio" --init "$out/init" --busybox "$busybox" --applets "$applets" \
    --modules-from "$kernel/modules" --modules "$modules"
rm -f "$out/init"
echo "$key" >"$out/.key"
