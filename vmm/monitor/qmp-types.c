/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The types of QMP's arguments, results and events, with QEMU's names; see qmp-schema.h.
 */
#include "vmm/monitor/qmp-schema.h"

#include <stddef.h>

/* clang-format off */
const QmpType qmp_types[] = {
    {"AddfdInfo", "fdset-id:int,fd:int"},
    {"BalloonInfo", "actual:int"},
    {"BalloonLedger", "requested:int,actual:int,inflate-named:int,inflated:int,repeated:int,inflate-outside:int,"
                      "inflate-in-use:int,deflate-named:int,deflated:int,deflate-not-given:int,forgotten:int,given:int,"
                      "released:int,held-back:int,returned:int,released-ended:int,refused:int,reported:int,"
                      "report-returned:int,report-left:int,faulted-again-ever:int,prefaulted:int,discards:int,time-ns:int,"
                      "*faulted-again:int,*really-released:int"},
    {"BlockDeviceInfo", "file:str,node-name:str,ro:bool,drv:str,backing_file_depth:int,encrypted:bool,"
                        "detect_zeroes:BlockdevDetectZeroesOptions,write_threshold:int,cache:BlockdevCacheInfo,image:ImageInfo,"
                        "bps:int,bps_rd:int,bps_wr:int,iops:int,iops_rd:int,iops_wr:int,*bps_max:int,*bps_max_length:int,"
                        "*bps_rd_max:int,*bps_rd_max_length:int,*bps_wr_max:int,*bps_wr_max_length:int,*iops_max:int,"
                        "*iops_max_length:int,*iops_rd_max:int,*iops_rd_max_length:int,*iops_wr_max:int,"
                        "*iops_wr_max_length:int,*iops_size:int,*group:str,*x-server-size:int"},
    {"BlockDeviceIoStatus", "=ok,failed,nospace"},
    {"BlockDeviceStats", "rd_bytes:int,wr_bytes:int,unmap_bytes:int,rd_operations:int,wr_operations:int,flush_operations:int,"
                         "unmap_operations:int,rd_total_time_ns:int,wr_total_time_ns:int,flush_total_time_ns:int,"
                         "unmap_total_time_ns:int,wr_highest_offset:int,rd_merged:int,wr_merged:int,unmap_merged:int,"
                         "*idle_time_ns:int,failed_rd_operations:int,failed_wr_operations:int,failed_flush_operations:int,"
                         "failed_unmap_operations:int,invalid_rd_operations:int,invalid_wr_operations:int,"
                         "invalid_flush_operations:int,invalid_unmap_operations:int,account_invalid:bool,account_failed:bool,"
                         "timed_stats:[BlockDeviceTimedStats],*rd_latency_histogram:BlockLatencyHistogramInfo,"
                         "*wr_latency_histogram:BlockLatencyHistogramInfo,*flush_latency_histogram:BlockLatencyHistogramInfo"},
    {"BlockDeviceTimedStats", "interval_length:int,min_rd_latency_ns:int,max_rd_latency_ns:int,avg_rd_latency_ns:int,"
                              "min_wr_latency_ns:int,max_wr_latency_ns:int,avg_wr_latency_ns:int,min_flush_latency_ns:int,"
                              "max_flush_latency_ns:int,avg_flush_latency_ns:int,avg_rd_queue_depth:number,"
                              "avg_wr_queue_depth:number"},
    {"BlockErrorAction", "=ignore,report,stop"},
    {"BlockInfo", "device:str,*qdev:str,type:str,removable:bool,locked:bool,inserted:BlockDeviceInfo,*io-status:BlockDeviceIoStatus"},
    {"BlockLatencyHistogramInfo", "boundaries:[int],bins:[int]"},
    {"BlockStats", "*device:str,*qdev:str,*node-name:str,stats:BlockDeviceStats,*parent:BlockStats,*backing:BlockStats"},
    {"BlockdevCacheInfo", "writeback:bool,direct:bool,no-flush:bool"},
    {"BlockdevDetectZeroesOptions", "=off,on,unmap"},
    {"ChardevBackend", "type:ChardevBackendKind,data:ChardevBackendData"},
    {"ChardevBackendData", "*out:str,*append:bool,*device:str,*addr:SocketAddressLegacy,*server:bool,*wait:bool,*nodelay:bool,"
                           "*size:int,*signal:bool"}, /* of all kinds: which of them a kind takes is not told here */
    {"ChardevBackendInfo", "name:str"},
    {"ChardevBackendKind", "=file,null,pipe,pty,ringbuf,socket,stdio"},
    {"ChardevInfo", "label:str,filename:str,frontend-open:bool"},
    {"ChardevReturn", "*pty:str"},
    {"CommandInfo", "name:str"},
    {"CpuDefinitionInfo", "name:str,typename:str,static:bool,migration-safe:bool,deprecated:bool,unavailable-features:[str]"},
    {"CpuInfoFast", "cpu-index:int,qom-path:str,thread-id:int,*props:CpuInstanceProperties,target:SysEmuTarget"},
    {"CpuInstanceProperties", "*node-id:int,*socket-id:int,*die-id:int,*cluster-id:int,*core-id:int,*thread-id:int"},
    {"DataFormat", "=utf8,base64"},
    {"DumpGuestMemoryCapability", "formats:[DumpGuestMemoryFormat]"},
    {"DumpGuestMemoryFormat", "=elf"},
    {"DumpQueryResult", "status:DumpStatus,completed:int,total:int"},
    {"DumpStatus", "=none,active,completed,failed"},
    {"FdsetFdInfo", "fd:int,*opaque:str"},
    {"FdsetInfo", "fdset-id:int,fds:[FdsetFdInfo]"},
    {"ImageInfo", "filename:str,format:str,virtual-size:int,*actual-size:int,dirty-flag:bool"},
    {"IOThreadInfo", "id:str,thread-id:int,poll-max-ns:int,poll-grow:int,poll-shrink:int,aio-max-batch:int"},
    {"IoOperationType", "=read,write"},
    {"KvmInfo", "enabled:bool,present:bool"},
    {"MachineInfo", "name:str,*alias:str,*is-default:bool,cpu-max:int,hotpluggable-cpus:bool,numa-mem-supported:bool,"
                    "deprecated:bool,*default-cpu-type:str,*default-ram-id:str"},
    {"MemoryBill", "resident:int,accounted:int,unaccounted:int,rows:[MemoryBillRow]"},
    {"MemoryBillRow", "owner:str,kind:str,bytes:int"},
    {"MemoryInfo", "base-memory:int,*plugged-memory:int"},
    {"NameInfo", "*name:str"},
    {"ObjectPropertyInfo", "name:str,type:str,*description:str,*default-value:any"},
    {"ObjectTypeInfo", "name:str,*abstract:bool,*parent:str"},
    {"PciBridgeInfo", "bus:PciBusInfo,*devices:[PciDeviceInfo]"},
    {"PciBusInfo", "number:int,secondary:int,subordinate:int,io_range:PciMemoryRange,memory_range:PciMemoryRange,"
                   "prefetchable_range:PciMemoryRange"},
    {"PciDeviceClass", "*desc:str,class:int"},
    {"PciDeviceId", "device:int,vendor:int,*subsystem:int,*subsystem-vendor:int"},
    {"PciDeviceInfo", "bus:int,slot:int,function:int,class_info:PciDeviceClass,id:PciDeviceId,*irq:int,irq_pin:int,"
                      "qdev_id:str,*pci_bridge:PciBridgeInfo,regions:[PciMemoryRegion]"},
    {"PciInfo", "bus:int,devices:[PciDeviceInfo]"},
    {"PciMemoryRange", "base:int,limit:int"},
    {"PciMemoryRegion", "bar:int,type:str,address:int,size:int,*prefetch:bool,*mem_type_64:bool"},
    {"QMPCapability", "=oob"},
    {"RunState", "=debug,inmigrate,internal-error,io-error,paused,postmigrate,prelaunch,finish-migrate,restore-vm,running,"
                 "save-vm,shutdown,suspended,watchdog,guest-panicked,colo"},
    {"RxFilterInfo", "name:str,promiscuous:bool,multicast:RxState,unicast:RxState,vlan:RxState,broadcast-allowed:bool,"
                     "multicast-overflow:bool,unicast-overflow:bool,main-mac:str,vlan-table:[int],unicast-table:[str],"
                     "multicast-table:[str]"},
    {"RxState", "=normal,none,all"},
    {"SchemaInfo", "name:str,meta-type:SchemaMetaType,*json-type:str,*element-type:str,*members:[SchemaInfoMember],*values:[str],"
                   "*arg-type:str,*ret-type:str"},
    {"SchemaInfoMember", "name:str,*type:str,*default:any"},
    {"SchemaMetaType", "=builtin,enum,array,object,alternate,command,event"},
    {"ShutdownCause", "=none,host-error,host-qmp-quit,host-qmp-system-reset,host-signal,host-ui,guest-shutdown,guest-reset,"
                      "guest-panic,subsystem-reset,snapshot-load"},
    {"SocketAddress", "type:str,*host:str,*port:str,*path:str,*str:str"},
    {"SocketAddressLegacy", "type:SocketAddressType,data:SocketAddressLegacyData"},
    {"SocketAddressLegacyData", "*host:str,*port:str,*path:str,*str:str"},
    {"SocketAddressType", "=fd,inet,unix"},
    {"Stats", "name:str,value:any"},
    {"StatsProvider", "=kvm"},
    {"StatsRequest", "provider:StatsProvider,*names:[str]"},
    {"StatsResult", "provider:StatsProvider,*qom-path:str,stats:[Stats]"},
    {"StatsSchema", "provider:StatsProvider,target:StatsTarget,stats:[StatsSchemaValue]"},
    {"StatsSchemaValue", "name:str,type:StatsType,*unit:StatsUnit,*base:int,exponent:int,*bucket-size:int"},
    {"StatsTarget", "=vm,vcpu"},
    {"StatsType", "=cumulative,instant,peak,linear-histogram,log2-histogram"},
    {"StatsUnit", "=bytes,seconds,cycles,boolean"},
    {"StatusInfo", "running:bool,singlestep:bool,status:RunState"},
    {"SysEmuTarget", "=aarch64,x86_64"},
    {"UuidInfo", "UUID:str"},
    {"VersionInfo", "qemu:VersionTriple,package:str"},
    {"VersionTriple", "major:int,minor:int,micro:int"},
    {"VirtioDeviceFeatures", "transports:[str],*dev-features:[str],*unknown-dev-features:int"},
    {"VirtioDeviceStatus", "statuses:[str],*unknown-statuses:int"},
    {"VirtioInfo", "path:str,name:str"},
    {"VirtioQueueElement", "name:str,index:int,descs:[VirtioRingDesc],avail:VirtioRingAvail,used:VirtioRingUsed"},
    {"VirtioRingAvail", "flags:int,idx:int,ring:int"},
    {"VirtioRingDesc", "addr:int,len:int,flags:[str]"},
    {"VirtioRingUsed", "flags:int,idx:int"},
    {"VirtioStatus", "name:str,device-id:int,vhost-started:bool,device-endian:str,guest-features:VirtioDeviceFeatures,"
                     "host-features:VirtioDeviceFeatures,backend-features:VirtioDeviceFeatures,num-vqs:int,"
                     "status:VirtioDeviceStatus,isr:int,queue-sel:int,vm-running:bool,broken:bool,disabled:bool,"
                     "use-started:bool,started:bool,start-on-kick:bool,disable-legacy-check:bool,bus-name:str,"
                     "use-guest-notifier-mask:bool"},
    {"VirtQueueStatus", "name:str,queue-index:int,inuse:int,vring-num:int,vring-num-default:int,vring-align:int,"
                        "vring-desc:int,vring-avail:int,vring-used:int,*last-avail-idx:int,*shadow-avail-idx:int,used-idx:int,"
                        "signalled-used:int,signalled-used-valid:bool"},
    {NULL, NULL},
};

const QmpType qmp_events[] = {
    {"BALLOON_CHANGE", "actual:int"},
    {"BALLOON_POLICY", "id:str,action:str,reason:str,target:int,actual:int,host:str,decision:int,*used:int"},
    {"BLOCK_IO_ERROR", "device:str,*node-name:str,operation:IoOperationType,action:BlockErrorAction,*nospace:bool,reason:str"},
    {"DEVICE_DELETED", "*device:str,path:str"},
    {"DEVICE_UNPLUG_GUEST_ERROR", "*device:str,path:str"},
    {"DUMP_COMPLETED", "result:DumpQueryResult,*error:str"},
    {"NETDEV_STREAM_CONNECTED", "netdev-id:str,addr:SocketAddress"},
    {"NETDEV_STREAM_DISCONNECTED", "netdev-id:str"},
    {"NIC_RX_FILTER_CHANGED", "*name:str,path:str"},
    {"POWERDOWN", NULL},
    {"RESET", "guest:bool,reason:ShutdownCause"},
    {"RESUME", NULL},
    {"SHUTDOWN", "guest:bool,reason:ShutdownCause"},
    {"STOP", NULL},
    {"VSERPORT_CHANGE", "id:str,open:bool"},
    {NULL, NULL},
};
/* clang-format on */
